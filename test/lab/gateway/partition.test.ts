// Partitions and files that are read from a disk are what is on it.
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { takePartition, unpackExt4 } from "./partition.ts";
import { needs } from "../runner/needs.ts";
import { run } from "../../../build/image/run.ts";
import type { TestContext } from "../runner/context.ts";

const MEBIBYTE = 1024 * 1024;
const TSS2 = "-----BEGIN TSS2 PRIVATE KEY-----\nMIHwBgZngQUKAQOgAwEBAQ==\n-----END TSS2 PRIVATE KEY-----\n";

async function disk(t: TestContext): Promise<{ at: (name: string) => string }> {
  const directory = await mkdtemp(join(tmpdir(), "medium-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return { at: (name) => join(directory, name) };
}

async function laid(file: string, bytes: number, ...things: readonly (readonly [number, string | Uint8Array])[]): Promise<void> {
  await using handle = await open(file, "w");
  await handle.truncate(bytes);
  for (const [offset, thing] of things) await handle.write(Buffer.from(thing), 0, thing.length, offset);
}

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
