// `sallyport tpm passwords`: opens, offline, what a device has escrowed with the hub. [ID-54]
import { Fault } from "../../hal/fault.ts";
import {
  type ChipSecrets,
  encodeSecrets,
  ESCROW_NOTE_BYTES_MAX,
  ESCROW_PRIVATE_KEY_BYTES_MAX,
  openSecrets,
  parseEscrowNote,
  parseEscrowPrivateKey,
} from "../../warden/escrow/format/index.ts";
import { serialJson } from "../status/index.ts";
import type { PasswordsInvocation } from "./arguments.ts";

export interface PasswordsPorts {
  /** @throws Fault `file.*`. */
  readonly file: (path: string, bytesMax: number) => Uint8Array;
  /**
   * Reads a file that no other user may read. [STA-30]
   * @throws Fault `file.*`; `file.untrusted-owner` when others may read it.
   */
  readonly privateFile: (path: string, bytesMax: number) => Uint8Array;
  /**
   * Makes a file that only its owner can read, and replaces none.
   * @throws Fault `file.write-failed`.
   */
  readonly create: (path: string, bytes: Uint8Array) => void;
}

/** What the warden reads at its start. [ID-56] */
const RESTORE_PLACE = "/var/lib/sallyport-warden/tpm-restore.json";

/**
 * The note is read before the key is. Its signature is the hub's to check, which knows the audit
 * key; the warden proves the passwords against the chip before it takes them.
 * @returns the text to print.
 * @throws Fault `escrow.invalid`, `escrow.not-opened`, `escrow.key-unusable`; `file.*`.
 */
export function readPasswords({ file, key, out, json }: PasswordsInvocation, ports: PasswordsPorts): string {
  const note = parseEscrowNote(Buffer.from(ports.file(file, ESCROW_NOTE_BYTES_MAX)).toString());
  const secrets = openSecrets(note.sealed, parseEscrowPrivateKey(ports.privateFile(key, ESCROW_PRIVATE_KEY_BYTES_MAX), key));
  if (secrets.deviceId !== note.deviceId || secrets.storage !== note.storage)
    throw new Fault(
      "escrow.invalid",
      `open "${file}": it says that it is of "${note.deviceId}", but what is sealed in it is of "${secrets.deviceId}" or of another chip`,
    );
  if (out === undefined) return json ? `${serialJson(secrets)}\n` : passwordsText(secrets);
  ports.create(out, Buffer.from(encodeSecrets(secrets)));
  const { deviceId } = secrets;
  if (json) return `${serialJson({ deviceId, out })}\n`;
  return `Wrote ${out}. Put it on "${deviceId}" as ${RESTORE_PLACE}, owner root, mode 0600,\nand restart the device. Remove every other copy.\n`;
}

function passwordsText({ deviceId, madeAt, storage, endorsement, passwords }: ChipSecrets): string {
  const rows = [
    ["device", deviceId],
    ["made", madeAt],
    ["storage root", storage],
    ["endorsement key", endorsement ?? "not read"],
    ["-c owner", `hex:${passwords.owner}`],
    ["-c endorsement", `hex:${passwords.endorsement}`],
    ["-c lockout", `hex:${passwords.lockout}`],
    ["NV counter", `hex:${passwords.counter}`],
  ] as const;
  return rows.map(([name, value]) => `${name.padEnd(16)}${value}\n`).join("");
}
