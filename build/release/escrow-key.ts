// The owner's key for escrow: its private half stays where the release keys are, its public half
// goes into the image as escrow.json. [ID-54]
import { generateKeyPairSync } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { keyIdOf, parseEscrowPrivateKey, type PublicJwk, publicJwkOf } from "../../warden/escrow/format/index.ts";
import { getFile, putFile } from "./files.ts";
import { expectPrivate } from "./keys.ts";
import { KEY_BYTES_MAX } from "./limits.ts";

export interface MadeEscrowKey {
  /** RFC 7638. It is in the header of what is sealed for the key. */
  readonly keyid: string;
  readonly jwk: PublicJwk;
}

/**
 * A new P-256 key, in a file that must not exist yet.
 * @throws Fault `release.key-unusable`, `release.store-failed`.
 */
export async function makeEscrowKey(path: string): Promise<MadeEscrowKey> {
  if ((await getFile(path, KEY_BYTES_MAX)) !== undefined)
    throw new Fault(
      "release.key-unusable",
      `make a key "${path}": the file exists, and a key is never overwritten; --public prints the public half of an escrow key`,
    );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await putFile(path, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })), { mode: 0o600 });
  return await readEscrowKey(path);
}

/** @throws Fault `release.key-unusable`, `escrow.key-unusable`, `release.store-failed`. */
export async function readEscrowKey(path: string): Promise<MadeEscrowKey> {
  const pem = await getFile(path, KEY_BYTES_MAX);
  if (pem === undefined) throw new Fault("release.key-unusable", `read the escrow key: there is no key "${path}"`);
  await expectPrivate(path, "use the escrow key");
  const jwk = publicJwkOf(parseEscrowPrivateKey(pem, path));
  return { keyid: keyIdOf(jwk), jwk };
}
