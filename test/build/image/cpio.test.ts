import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { cpio, type CpioEntry } from "../../../build/image/cpio.ts";
import { needs } from "../../lab/runner/needs.ts";

const ENTRIES: readonly CpioEntry[] = [
  { path: "bin", type: "directory" },
  { path: "bin/tool", type: "file", mode: 0o755, bytes: Buffer.from("odd") },
  { path: "bin/sh", type: "link", target: "tool" },
];

test("cpio extracts what was put into an archive", { skip: needs("cpio") }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "test-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const { status } = spawnSync("cpio", ["-idm", "--quiet"], { cwd: directory, input: cpio(ENTRIES) });
  t.equal(status, 0);
  t.equal(await readFile(join(directory, "bin/tool"), "utf8"), "odd");
  t.equal(await readlink(join(directory, "bin/sh")), "tool");
});

test("the same entries make the same bytes, padded to words", (t) => {
  const archive = cpio(ENTRIES);
  t.ok(archive.equals(cpio(ENTRIES)));
  t.equal(archive.byteLength % 4, 0);
  t.equal(archive.subarray(0, 6).toString(), "070701");
  t.ok(archive.includes("TRAILER!!!\0"));
  t.end();
});
