// That a search for private keys finds them, however they lie on a disk; it would otherwise prove nothing when it finds none.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { privateKeysIn, takePartition, unpackExt4 } from "./medium.ts";
import { needs } from "../needs.ts";
import { run } from "../../../build/image/run.ts";

const MEBIBYTE = 1024 * 1024;
const TSS2 = "-----BEGIN TSS2 PRIVATE KEY-----\nMIHwBgZngQUKAQOgAwEBAQ==\n-----END TSS2 PRIVATE KEY-----\n";

async function disk(t: { teardown(remove: () => Promise<void>): void }): Promise<{ at: (name: string) => string }> {
  const directory = await mkdtemp(join(tmpdir(), "medium-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return { at: (name) => join(directory, name) };
}

async function laid(file: string, bytes: number, ...things: readonly (readonly [number, string | Uint8Array])[]): Promise<void> {
  await using handle = await open(file, "w");
  await handle.truncate(bytes);
  for (const [offset, thing] of things) await handle.write(Buffer.from(thing), 0, thing.length, offset);
}

const pem = (key: KeyObject, type: "pkcs8" | "sec1"): string => key.export({ type, format: "pem" });
const der = (key: KeyObject, type: "pkcs8" | "sec1"): Uint8Array => key.export({ type, format: "der" });

test("[ID-4] private keys are found in every form, across the edges of what is read at once, and their kind is told", async (t) => {
  const { at } = await disk(t);
  const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
  const audit = generateKeyPairSync("ed25519").privateKey;
  const bare = pem(ec, "pkcs8").split("\n")[1] ?? "";
  const edge = 4 * MEBIBYTE;
  await laid(
    at("disk"),
    16 * MEBIBYTE,
    [17, TSS2],
    [1000, pem(audit, "pkcs8")],
    [edge - 3, der(ec, "pkcs8")],
    [edge + 4096, der(ec, "sec1")],
    [2 * edge - 10, pem(ec, "pkcs8").slice(0, 60)],
    [3 * edge - 5, bare],
    [3 * edge + 4096, pem(ec, "sec1")],
  );
  const found = await privateKeysIn(at("disk"));
  const kinds = (from: number, to: number): readonly string[] =>
    found.filter(({ offset }) => offset >= from && offset < to).map(({ kind }) => kind);
  t.strictSame(kinds(0, 1000), ["tss2"]);
  t.strictSame(kinds(1000, 2000), ["ed25519"]);
  t.strictSame(kinds(edge - 3, edge + 200), ["der"]);
  t.strictSame(kinds(edge + 4096, edge + 8192), ["der"]);
  t.match(kinds(2 * edge - 10, 2 * edge + 200), ["unreadable"], "one that is cut short is a find too");
  t.strictSame(kinds(3 * edge - 5, 3 * edge + 200), ["base64"]);
  t.ok(kinds(3 * edge + 4096, 4 * edge).includes("ec"));
  await laid(at("none"), MEBIBYTE, [5, ec.export({ type: "pkcs8", format: "der" }).subarray(0, 10)]);
  t.strictSame(await privateKeysIn(at("none")), []);
});

test("the files of a partition are taken out of a disk by its name", { skip: needs("root", "image") }, async (t) => {
  const { at } = await disk(t);
  await laid(at("file"), 100, [0, TSS2]);
  await laid(at("data"), 8 * MEBIBYTE);
  await run("mkfs.ext4", ["-q", at("data")]);
  await run("debugfs", ["-w", "-R", `write ${at("file")} key.pem`, at("data")]);
  await laid(at("disk"), 10 * MEBIBYTE, [MEBIBYTE, await readFile(at("data"))]);
  await run("sfdisk", ["--quiet", at("disk")], { input: "label: gpt\nfirst-lba: 2048\nsize=8MiB, type=linux, name=data\n" });
  await takePartition(at("disk"), "data", at("taken"));
  await unpackExt4(at("taken"), at("files"));
  t.equal((await readFile(join(at("files"), "key.pem"))).toString("latin1").replaceAll("\0", ""), TSS2);
  await t.rejects(takePartition(at("disk"), "swap", at("taken")), { code: "file.read-failed" });
});
