// Operators and confirmers of policies with a key of their own, in a file that the hub's commands
// take. [OPS-7] [OPS-8]
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { orderKeyId } from "../../../warden/orders/format/index.ts";
import type { OperatorRole } from "../../../warden/roster/format.ts";

export interface KeyHolder {
  readonly id: string;
  /** PKCS#8, PEM, 0600. */
  readonly keyFile: string;
  readonly privateKey: KeyObject;
  /** As rosters and policies list it: DER SubjectPublicKeyInfo in base64. */
  readonly publicKey: string;
  readonly keyid: string;
}

/** Makes a new key in `directory`. */
export async function makeKeyHolder(directory: string, id: string): Promise<KeyHolder> {
  const { privateKey } = generateKeyPairSync("ed25519");
  await writeFile(join(directory, `${id}.pem`), privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 });
  return keyHolderOf(directory, id, privateKey);
}

/** Reads the key that {@link makeKeyHolder} wrote to `directory`. */
export async function readKeyHolder(directory: string, id: string): Promise<KeyHolder> {
  return keyHolderOf(directory, id, createPrivateKey(await readFile(join(directory, `${id}.pem`))));
}

function keyHolderOf(directory: string, id: string, privateKey: KeyObject): KeyHolder {
  const publicKey = createPublicKey(privateKey);
  return {
    id,
    keyFile: join(directory, `${id}.pem`),
    privateKey,
    publicKey: publicKey.export({ format: "der", type: "spki" }).toString("base64"),
    keyid: orderKeyId(publicKey),
  };
}

/** The payload of an `operators/` target. */
export function rosterOf(
  ...operators: readonly { readonly holder: KeyHolder; readonly roles: readonly OperatorRole[] }[]
): object {
  return { v: 1, operators: operators.map(({ holder: { id, publicKey }, roles }) => ({ id, roles, keys: [publicKey] })) };
}

/**
 * A policy for the lab's board: eth0 is used, names are looked up, and everything else is closed.
 * @param change replaces members.
 */
export function boardPolicy(confirmer: KeyHolder, change: Readonly<Record<string, unknown>> = {}): object {
  return {
    v: 1,
    name: "lab base",
    mode: "enforce",
    links: [{ name: "eth0", dhcp4: true, ipv6: true }],
    network: { outbound: [{ protocol: "udp", ports: [53], to: "any" }] },
    confirmKeys: [confirmer.publicKey],
    confirmWithinS: 30,
    ...change,
  };
}
