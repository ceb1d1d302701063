// Files and inputs that never end, or that are none: what a tool is handed by a path, by standard
// input, or on a disk that somebody else wrote.
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { readSigner } from "../../build/release/keys.ts";
import { keyPath, layoutOf } from "../../build/release/layout.ts";
import { digestFile, readContent } from "../../hal/linux/files/index.ts";
import { createSystemdBootChoice } from "../../hal/linux/index.ts";
import { readAnswerLine } from "../../agent/cli/answer-line.ts";
import { readOrder } from "../../hub/cli/answer-text.ts";
import { readKey } from "../../hub/orders/index.ts";
import { publishRepository } from "../../hub/repository/index.ts";
import { makeEsp } from "../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const BYTES_MAX = 1000;

/** A pipe that nobody writes to, and a device that never ends. */
async function endless(directory: string): Promise<readonly string[]> {
  const [pipe, link] = [join(directory, "pipe"), join(directory, "zero")];
  execFileSync("mkfifo", ["-m", "600", pipe]);
  await symlink("/dev/zero", link);
  return [pipe, link, "/dev/zero", directory];
}

test("[STA-32] a pipe, a device and a directory are no content: nothing waits for them", async (t) => {
  const directory = await temporaryDirectory(t);
  for (const path of await endless(directory)) {
    await t.rejects(readContent(path, BYTES_MAX), { code: "file.not-regular" }, path);
    await t.rejects(digestFile(path), { code: "file.not-regular" }, path);
    t.throws(() => readKey(path), { code: "hub.key-unusable" }, path);
    await t.rejects(readOrder(path, process.stdin), { code: "usage.invalid" }, path);
  }
  await mkdir(join(directory, "workshop/keys"), { recursive: true });
  execFileSync("mkfifo", ["-m", "600", keyPath(layoutOf(join(directory, "workshop")), "os")]);
  await t.rejects(readSigner(layoutOf(join(directory, "workshop")), "os"), { code: "release.store-failed" });
});

test("[STA-32] a repository whose first root is a device is not published", async (t) => {
  const directory = await temporaryDirectory(t);
  await mkdir(join(directory, "repository/metadata"), { recursive: true });
  await symlink("/dev/zero", join(directory, "repository/metadata/1.root.json"));
  await t.rejects(publishRepository(directory, join(directory, "to"), { nowMs: Date.now() }), {
    code: "release.store-failed",
    message: /not a regular file/u,
  });
});

test("[STA-32] content at its bound is read whole, links are followed, and a byte more is refused", async (t) => {
  const directory = await temporaryDirectory(t);
  const [file, link] = [join(directory, "file"), join(directory, "link")];
  await writeFile(file, Buffer.alloc(BYTES_MAX, "a"));
  await symlink("file", link);
  t.equal((await readContent(link, BYTES_MAX))?.byteLength, BYTES_MAX);
  t.equal((await digestFile(link))?.length, BYTES_MAX);
  await appendFile(file, "a");
  await t.rejects(readContent(link, BYTES_MAX), { code: "file.too-large" });
  t.equal(await readContent(join(directory, "none"), BYTES_MAX), undefined);
});

test("[STA-32] standard input that never ends is read up to the bound of an order, or of a line", async (t) => {
  let given = 0;
  async function* zeros(): AsyncGenerator<Buffer> {
    for (;;) {
      given += 1;
      yield Buffer.alloc(1024, "0");
    }
  }
  await t.rejects(readOrder("-", zeros()), { code: "usage.invalid", message: /at most 8192 bytes/u });
  t.ok(given <= 9);
  given = 0;
  t.equal((await readAnswerLine(zeros()))?.length, 512);
  t.equal(given, 1);
});

test("[STA-32] an add-on that is larger than any is not read: a slot's is refused, a torn copy is written anew", async (t) => {
  const root = await temporaryDirectory(t);
  const esp = await makeEsp(root, { "gw_1_a.efi": "a", "gw_b.new": "b" });
  const [own, copy] = [join(esp, "EFI/sallyport/slot-b.addon.efi"), join(esp, "EFI/Linux/gw_2_b.efi.extra.d/slot.addon.efi")];
  await mkdir(join(esp, "EFI/sallyport"), { recursive: true });
  await mkdir(join(esp, "EFI/Linux/gw_2_b.efi.extra.d"));
  await writeFile(own, Buffer.alloc(2_000_000));
  await t.rejects(createSystemdBootChoice({ esp, tries: 2 }).tryOnce("b"), { code: "file.too-large" });
  await writeFile(own, "addon of b");
  await writeFile(copy, Buffer.alloc(2_000_000));
  await createSystemdBootChoice({ esp, tries: 2 }).tryOnce("b");
  t.equal(await readFile(copy, "utf8"), "addon of b");
});
