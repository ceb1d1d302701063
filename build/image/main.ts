// `npm run image -- --files DIR --out DIR`: makes a gateway's disk as a file, and the parts of the
// release on it. It runs as root, but needs no loop device and no mount.
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { asFault, Fault } from "../../hal/fault.ts";
import { wrap } from "../../hal/format/prose.ts";
import { digestFile } from "../../hal/linux/files/index.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { IMAGE_FACTS_BYTES_MAX, imageFactsSchema } from "../../ota/format/image.ts";
import { buildAll } from "../bundle.ts";
import { hasCode } from "../errno.ts";
import { debianBase } from "./base.ts";
import { makeDisk } from "./disk.ts";
import { isThere, writeFileIn } from "./files.ts";
import { makeKernel } from "./kernel.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { CACHE } from "./paths.ts";
import { GIVEN, makeSystem } from "./system.ts";
import { makeRoot } from "./verity.ts";
import { makeWorkDirectory, type WorkDirectory } from "./workdir.ts";

type Say = (line: string) => void;

async function build(options: Options, say: Say): Promise<object> {
  if (process.getuid?.() !== 0)
    throw new Fault("usage.invalid", "build an image: run this as root, because files in the image belong to several users");
  const { given, facts } = await readGiven(options.files);
  const out = resolve(options.out);
  await using folder = await openWorkDirectory(out);
  const made = await makeFiles(options, given, facts.version, folder.path, say);
  // A disk of an earlier run would not match these parts.
  if (options["parts-only"]) await rm(join(out, "disk.img"), { force: true });
  for (const name of [...made.files, "packages.txt"]) await rename(join(folder.path, name), join(out, name));
  return { ...facts, ...made, files: await Promise.all(made.files.map((name) => described(out, name, say))) };
}

async function readGiven(files: string) {
  const given = resolve(files);
  for (const name of Object.keys(GIVEN))
    if (!(await isThere(join(given, name))))
      throw new Fault(
        "usage.invalid",
        `find "${name}" in "${given}": the image needs it; docs/flashing.md says what it contains`,
      );
  const text = await readFile(join(given, "image.json"), "utf8");
  const facts = check(
    imageFactsSchema,
    parseJson(text, IMAGE_FACTS_BYTES_MAX, "image facts", { duplicates: "refused" }),
    "image.json",
  );
  return { given, facts };
}

/** The directory for incomplete files. */
async function openWorkDirectory(out: string): Promise<WorkDirectory> {
  await mkdir(out, { recursive: true });
  const folder = await makeWorkDirectory(out, ".work-");
  const [other] = folder.others;
  if (other === undefined) return folder;
  await folder[Symbol.asyncDispose]();
  const hint = "wait until it is done, or name another directory";
  throw new Fault("usage.invalid", `write to "${out}": process ${other} is making an image there; ${hint}`);
}

/** @returns which files are in `work` beside `packages.txt`, and their description. */
async function makeFiles(options: Options, given: string, version: string, work: string, say: Say) {
  const step = steps(say);
  const at = (name: string): string => join(work, name);
  const base = await step("Debian base", () => debianBase(say));
  await step("our programs", () => buildAll(at("programs")));
  const [root, logTo, usb] = [at("root"), options["log-to"], options.usb === "2" ? 2 : 0] as const;
  await step("the device's root", () => makeSystem({ base, given, root, version, programs: at("programs"), logTo }));
  const verified = await step("root image", () => makeRoot(root, at("root.img"), version, options.level));
  await step("kernel image", () => makeKernel({ base, verified, usb, logTo }, at("kernel.efi")));
  const parts = { base, kernel: at("kernel.efi"), root: at("root.img") };
  const sizes = { esp: options["esp-mib"], slot: options["slot-mib"], data: options["data-mib"] };
  if (!options["parts-only"]) await step("disk", () => makeDisk(at("disk.img"), work, parts, sizes));
  const packages = await readFile(join(root, "usr/share/sallyport/packages.txt"), "utf8");
  await writeFileIn(at("packages.txt"), packages);
  return {
    rootHash: verified.hash,
    kernel: base.kernel,
    node: process.version,
    packages: packages.trimEnd().split("\n").length,
    files: ["root.img", "kernel.efi", ...(options["parts-only"] ? [] : ["disk.img"])],
  };
}

/** The disk has no digest: its file systems contain identifiers and times that differ. */
async function described(out: string, name: string, say: Say): Promise<object> {
  const path = join(out, name);
  const { size, blocks } = await stat(path);
  const digest = name === "disk.img" ? undefined : await digestFile(path);
  say(`${name.padEnd(12)} ${mib(size)} MiB, ${mib(blocks * 512)} on disk`);
  return { name, bytes: size, ...(digest && { sha256: digest.sha256 }) };
}

const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(1);

/** Reports how long each step takes. */
function steps(say: Say): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  return async (name, work) => {
    const started = performance.now();
    const made = await work();
    say(`${name.padEnd(18)} ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return made;
  };
}

function faultOf(error: unknown): Fault {
  const fault = asFault(error, "assert.broken", "build the image");
  if (!hasCode(error, "ENOSPC") && !/no space left on device/iu.test(fault.message)) return fault;
  const hint = `an image needs 1 GB below --out, and the Debian base 2 GB in "${CACHE}"; free some space, or name another --out`;
  return new Fault("file.no-space", `build the image: the disk is full: ${hint}`, { cause: error });
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") return console.log(USAGE);
  const summary = await build(options, (line) => (options.json ? console.error(line) : console.log(line)));
  if (options.json) console.log(JSON.stringify(summary));
}

try {
  await main();
} catch (error) {
  const fault = faultOf(error);
  console.error(wrap(`${fault.code}: ${fault.message}`, 2) + (fault.code === "usage.invalid" ? `\n${USAGE}` : ""));
  process.exitCode = fault.code === "usage.invalid" ? 2 : 1;
}
