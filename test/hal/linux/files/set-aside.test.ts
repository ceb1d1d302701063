// Something else in the place of a directory of ours: it is set aside, and what must not count as
// missing counts as damaged, whenever the process is killed.
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import {
  foreignFiles,
  linuxFiles,
  ownAppendFiles,
  ownFiles,
  setAsideUnlessDirectory,
} from "../../../../hal/linux/files/index.ts";
import { type FileOps, linuxOps } from "../../../../hal/linux/files/ops.ts";
import { WRONG_DIRECTORIES } from "../../../lab/fakes/damage.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

/** A directory with a record, and something else in its place. */
async function broken(root: string, name: string, put: (path: string) => Promise<void>): Promise<string> {
  const directory = join(root, name.replaceAll(/\W+/gu, "-"), "updates");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, "floors.json"), "the record", { mode: 0o600 });
  await put(directory);
  return directory;
}

const asideIn = (directory: string): readonly string[] =>
  readdirSync(join(directory, "..")).filter((name) => name.startsWith(".aside-"));

test("[STA-13] whatever lies in a directory's place is set aside, not followed, and told; the directory is usable", async (t) => {
  const root = await temporaryDirectory(t);
  for (const [what, put] of Object.entries(WRONG_DIRECTORIES)) {
    const directory = await broken(root, what, put);
    const before = lstatSync(directory);
    const faults: Fault[] = [];
    const files = await ownFiles(directory, { report: (fault) => void faults.push(fault), damaged: ["floors.json"] });
    t.equal(faults.length, 1, what);
    t.match(
      faults[0],
      { code: /^file\.(?:not-regular|untrusted-owner|read-failed)$/u, message: /renamed to ".*\.aside-updates"/u },
      what,
    );
    t.same(asideIn(directory), [".aside-updates"], what);
    t.equal(lstatSync(join(directory, "..", ".aside-updates")).ino, before.ino, `${what}: it is the same thing`);
    t.same(await files.get("floors.json", 100), Buffer.alloc(0), `${what}: the record is damaged, not missing`);
    t.equal(await files.get("other.json", 100), undefined);
    await files.put("floors.json", Buffer.from("anew"));
    t.equal(lstatSync(directory).mode & 0o7777, 0o700, what);
    const again = await ownFiles(directory, { report: (fault) => void faults.push(fault), damaged: ["floors.json"] });
    t.equal(Buffer.from((await again.get("floors.json", 100)) ?? []).toString(), "anew", what);
    t.equal(faults.length, 1, "a second opening finds nothing wrong");
  }
});

test("[STA-13] so with append files; several things of one name are kept beside each other, but not without a bound", async (t) => {
  const directory = join(await temporaryDirectory(t), "spool");
  const faults: Fault[] = [];
  const options = { report: (fault: Fault) => void faults.push(fault) };
  for (let n = 0; n < 16; n++) {
    writeFileSync(directory, `thing ${n}`);
    await using files = await ownAppendFiles(directory, options);
    await files.append("a.log", Buffer.from("x"));
    t.same(await files.list(), ["a.log"]);
    renameSync(directory, `${directory}-${n}`);
  }
  t.equal(asideIn(directory).length, 16);
  t.equal(readFileSync(join(directory, "..", ".aside-spool.15"), "latin1"), "thing 15");
  writeFileSync(directory, "one too many");
  await using files = await ownAppendFiles(directory, options);
  t.match(faults.at(-1), { code: "file.not-regular", message: /could not be set aside \(.*16 things/u });
  t.same(await files.list(), []);
  t.equal(await files.read("a.log", 10), undefined);
  await t.rejects(files.append("a.log", Buffer.from("x")), { code: "file.not-regular" });
  t.equal(readFileSync(directory, "latin1"), "one too many");
});

test("[STA-13] where nothing can be renamed, every file counts as damaged and none is written", async (t) => {
  const directory = await broken(await temporaryDirectory(t), "full", WRONG_DIRECTORIES["a file"] ?? (() => Promise.reject()));
  const readOnly: FileOps = { ...linuxOps, mkdir: failing("EROFS"), rename: failing("EROFS"), unlink: failing("EROFS") };
  const faults: Fault[] = [];
  const files = await ownFiles(directory, {
    report: (fault) => void faults.push(fault),
    damaged: ["floors.json"],
    ops: readOnly,
  });
  t.match(faults, [{ code: "file.not-regular", message: /could not be set aside/u }]);
  t.same(await files.get("floors.json", 100), new Uint8Array());
  await t.rejects(files.put("floors.json", Buffer.from("x")), { code: "file.not-regular" });
  await t.rejects(files.remove("floors.json"), { code: "file.not-regular" });
});

test("[STA-13] a process that is killed at any step never leaves a directory in which the record is missing", async (t) => {
  const root = await temporaryDirectory(t);
  for (const [what, put] of Object.entries(WRONG_DIRECTORIES)) {
    let steps = 0;
    for (let n = 1; n === 1 || steps >= n - 1; n++) {
      const directory = await broken(root, `${what} ${n}`, put);
      steps = 0;
      const alive = <T>(work: () => Promise<T>): Promise<T> => (++steps >= n ? kill() : work());
      const dying: FileOps = {
        ...linuxOps,
        open: (...args) => alive(() => linuxOps.open(...args)),
        rename: (...args) => alive(() => linuxOps.rename(...args)),
        mkdir: (...args) => alive(() => linuxOps.mkdir(...args)),
      };
      await ownFiles(directory, { report: () => undefined, damaged: ["floors.json"], ops: dying }).catch(() => undefined);
      const files = await ownFiles(directory, { report: () => undefined, damaged: ["floors.json"] });
      const bytes = await files.get("floors.json", 100);
      if (bytes?.byteLength !== 0) t.fail(`${what}, killed at step ${n}: ${String(bytes)}`);
    }
    t.ok(steps > 5, `${what}: ${steps} steps`);
  }
});

test("[STA-13] a place that others provide is left as it is: its files count as damaged", async (t) => {
  const directory = await broken(await temporaryDirectory(t), "birth", WRONG_DIRECTORIES["a file"] ?? (() => Promise.reject()));
  const faults: Fault[] = [];
  const files = await foreignFiles(
    () => linuxFiles(directory),
    (fault) => void faults.push(fault),
  );
  t.match(faults, [{ code: "file.not-regular" }]);
  t.same(await files.get("birth.json", 100), new Uint8Array());
  await t.rejects(files.put("birth.json", Buffer.from("x")), { code: "file.not-regular" });
  t.same(asideIn(directory), []);
  await t.rejects(
    foreignFiles(
      () => Promise.reject(new Fault("file.no-space", "full")),
      () => undefined,
    ),
    { code: "file.no-space" },
  );
});

test("[STA-13] [OTA-32] a place whose mode its user settles: only what is no directory is set aside", async (t) => {
  const root = await temporaryDirectory(t);
  for (const what of ["a file", "a link to a directory", "a link to nothing", "a pipe", "a socket"]) {
    const directory = await broken(root, what, WRONG_DIRECTORIES[what] ?? (() => Promise.reject()));
    const faults: Fault[] = [];
    await setAsideUnlessDirectory(directory, (fault) => void faults.push(fault));
    t.match(faults, [{ code: "file.not-regular", message: /\.aside-updates/u }], what);
    t.same(asideIn(directory), [".aside-updates"]);
    await setAsideUnlessDirectory(directory, () => t.fail("nothing is there"));
    const fixed = join(root, "fixed", what);
    mkdirSync(join(fixed, "updates"), { recursive: true });
    await setAsideUnlessDirectory(join(fixed, "updates"), () => t.fail("a directory"));
  }
  const stuck = await broken(root, "stuck", WRONG_DIRECTORIES["a link to a directory"] ?? (() => Promise.reject()));
  await t.rejects(
    setAsideUnlessDirectory(stuck, () => undefined, { ...linuxOps, rename: failing("EACCES") }),
    { code: "file.not-regular", message: /move it away/u },
  );
});

function failing(code: string): () => Promise<never> {
  return () => Promise.reject(Object.assign(new RangeError(`${code}: played`), { code }));
}

function kill(): Promise<never> {
  return Promise.reject(Object.assign(new RangeError("EIO: killed"), { code: "EIO" }));
}
