// What is escrowed, for tests: an owner with a key, and the passwords of a chip.
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { check } from "../../../hal/format/schema.ts";
import { type ChipSecrets, type EscrowKey, parseEscrowKey, publicJwkOf } from "../../../warden/escrow/format/index.ts";

export interface EscrowOwner {
  readonly privateKey: KeyObject;
  readonly key: EscrowKey;
  /** As it lies in the image. */
  readonly file: string;
  /** PKCS#8 in PEM. */
  readonly pem: string;
}

export function escrowOwner(): EscrowOwner {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const file = JSON.stringify(publicJwkOf(publicKey));
  const pem = privateKey.export({ format: "pem", type: "pkcs8" });
  return { privateKey, key: parseEscrowKey(Buffer.from(file), "escrow.json"), file, pem };
}

export function labSecrets(given: Partial<ChipSecrets> = {}): ChipSecrets {
  const password = (): string => randomBytes(32).toString("hex");
  return {
    v: 1,
    deviceId: check(deviceIdSchema, "dev-1", "device id"),
    endorsement: `000b${"e1".repeat(32)}`,
    storage: `000b${"5a".repeat(32)}`,
    passwords: { owner: password(), endorsement: password(), lockout: password(), counter: password() },
    made: { storage: true, endorsement: true },
    before: { tries: 3, recoveryS: 1000, lockoutRecoveryS: 1000 },
    madeAt: "2026-11-30T12:00:00.000Z",
    ...given,
  };
}
