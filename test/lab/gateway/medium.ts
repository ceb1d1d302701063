// What lies on a gateway's disk once it is switched off, looked at as a thief would: its data partition's files, and every private key that can be read anywhere.
import { createPrivateKey } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import * as v from "valibot";
import { assert, Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { run } from "../../../build/image/run.ts";

const TABLE_BYTES_MAX = 65_536;
const tableSchema = v.looseObject({
  partitiontable: v.looseObject({
    sectorsize: v.number(),
    partitions: v.array(v.looseObject({ name: v.optional(v.string()), start: v.number(), size: v.number() })),
  }),
});

/** Copies a partition of the disk `image`, found by its name, into a file of its own. @throws Fault `file.read-failed` when there is none. */
export async function takePartition(image: string, name: string, file: string): Promise<void> {
  const text = await run("sfdisk", ["--json", image]);
  const { partitiontable: table } = check(tableSchema, parseJson(text, TABLE_BYTES_MAX, "partition table"), "partition table");
  const found = table.partitions.find((partition) => partition.name === name);
  if (found === undefined) throw new Fault("file.read-failed", `find the partition "${name}" in "${image}"`);
  const bytes = (sectors: number): string => `${sectors * table.sectorsize}`;
  const where = ["iflag=skip_bytes,count_bytes,fullblock", `skip=${bytes(found.start)}`, `count=${bytes(found.size)}`];
  await run("dd", [`if=${image}`, `of=${file}`, "bs=1M", "conv=sparse", ...where]);
}

/** Unpacks the ext4 file system in `file` into `directory`, after its journal was carried out as at the next start. */
export async function unpackExt4(file: string, directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  // 1: there was something to carry out
  await run("sh", ["-c", 'e2fsck -fy "$1" || [ $? = 1 ]', "sh", file]);
  await run("debugfs", ["-R", `rdump / ${directory}`, file]);
}

export interface FoundKey {
  /** In bytes. */
  readonly offset: number;
  /** `tss2`: good only in the TPM that made it. `der`: an EC private key (RFC 5915), also within PKCS#8 (RFC 5958). Else PEM: what Node calls its kind, or `unreadable`. */
  readonly kind: string;
}

const PIECE_BYTES = 4 * 1024 * 1024;
/** More than the longest text that is looked for, with the key in it. */
const OVERLAP_BYTES = 8192;
const PEM_END = "PRIVATE KEY-----";
const PEM = /^-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\n[\s\S]*?\n-----END \1PRIVATE KEY-----/u;
/** `version INTEGER { ecPrivkeyVer1(1) }, privateKey OCTET STRING` of 32 bytes. */
const EC_KEY = Buffer.from("0201010420", "hex");
/** How such a key begins in base64, by RFC 5915 and in PKCS#8: what is left of a file without its first line. */
const EC_BASE64 = ["MHcCAQEEI", "MIGHAgEAMBMGByqGSM49"];

/** @returns every private key that can be read anywhere in a file, in files and between them. */
export async function privateKeysIn(file: string): Promise<readonly FoundKey[]> {
  const found = new Map<number, string>();
  await using handle = await open(file, "r");
  const { size } = await handle.stat();
  const piece = Buffer.alloc(PIECE_BYTES + OVERLAP_BYTES);
  for (let start = 0; start < size; start += PIECE_BYTES) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, start);
    for (const { offset, kind } of keysIn(piece.subarray(0, bytesRead)))
      if (offset < PIECE_BYTES) found.set(start + offset, kind);
  }
  return [...found].map(([offset, kind]) => ({ offset, kind }));
}

function keysIn(bytes: Buffer): readonly FoundKey[] {
  const pems = positions(bytes, "-----BEGIN ").flatMap((offset) => {
    const text = bytes.toString("latin1", offset, offset + OVERLAP_BYTES);
    return text.slice(0, 64).includes(PEM_END) ? [{ offset, kind: pemKind(text) }] : [];
  });
  const ders = positions(bytes, EC_KEY).filter((offset) => offset >= 2 && bytes[offset - 2] === 0x30);
  const texts = EC_BASE64.flatMap((text) => positions(bytes, text));
  return [...pems, ...ders.map((offset) => ({ offset, kind: "der" })), ...texts.map((offset) => ({ offset, kind: "base64" }))];
}

function pemKind(text: string): string {
  const [pem, label] = PEM.exec(text) ?? [];
  if (label === "TSS2 ") return "tss2";
  try {
    return pem === undefined ? "unreadable" : (createPrivateKey(pem).asymmetricKeyType ?? "unreadable");
  } catch {
    return "unreadable";
  }
}

function positions(bytes: Buffer, wanted: string | Buffer): readonly number[] {
  assert(wanted.length > 0, "something to look for");
  const found: number[] = [];
  for (let at = bytes.indexOf(wanted); at !== -1; at = bytes.indexOf(wanted, at + 1)) found.push(at);
  return found;
}
