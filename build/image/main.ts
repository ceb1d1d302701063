// `npm run image -- --files DIR --out DIR`: a gateway's disk as a file, and the parts of the release that is on it. Runs as root; needs no loop device, no mount.
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { IMAGE_FACTS_BYTES_MAX, imageFactsSchema } from "../../ota/image/format.ts";
import { buildAll } from "../bundle.ts";
import { debianBase } from "./base.ts";
import { makeDisk } from "./disk.ts";
import { isThere, put } from "./files.ts";
import { makeKernel, makeSlotAddon } from "./kernel.ts";
import { GIVEN, makeSystem } from "./system.ts";
import { makeRoot } from "./verity.ts";

const USAGE = `usage: npm run image -- --files DIR --out DIR
  --files DIR        holds ${Object.keys(GIVEN).join(", ")}
  --out DIR          gets disk.img, and root.img and kernel.efi: the parts of the release that slot a holds
  --parts-only       no disk.img: a release for devices that run already
  --log-to ttyS1     where kernel and systemd write; a screen when left out
  --usb 0|2          USB devices that the kernel lets in: none (default), or what is soldered on, where the firmware says so
  --esp-mib N --slot-mib N --data-mib N   sizes; 256, 192 and 128 when left out
  --level N          of the compression, 1 to 22; 15 when left out`;

const wholeNumber = (min: number, max: number, left: number) =>
  v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,6}$/u, "expected a whole number"), v.transform(Number), v.minValue(min), v.maxValue(max)),
    String(left),
  );

const optionsSchema = v.strictObject({
  files: v.pipe(v.string("name the folder of the files that go onto the device"), v.minLength(1)),
  out: v.pipe(v.string("name the folder for the image"), v.minLength(1)),
  "parts-only": v.optional(v.boolean(), false),
  "log-to": v.optional(v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected a line's name such as ttyS1"))),
  usb: v.optional(v.picklist(["0", "2"]), "0"),
  "esp-mib": wholeNumber(64, 4096, 256),
  "slot-mib": wholeNumber(64, 65_536, 192),
  "data-mib": wholeNumber(32, 262_144, 128),
  level: wholeNumber(1, 22, 15),
});
type Options = v.InferOutput<typeof optionsSchema>;

function read(argv: readonly string[]): Options {
  const text = { type: "string" } as const;
  const options = {
    files: text,
    out: text,
    "parts-only": { type: "boolean" },
    "log-to": text,
    usb: text,
    "esp-mib": text,
    "slot-mib": text,
    "data-mib": text,
    level: text,
  } as const;
  try {
    return check(optionsSchema, { ...parseArgs({ args: [...argv], options }).values }, "command line");
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

async function build(options: Options): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Fault("usage.invalid", "build an image: run it as root; files in it belong to several users");
  const given = resolve(options.files);
  for (const name of Object.keys(GIVEN))
    if (!(await isThere(join(given, name))))
      throw new Fault("usage.invalid", `find "${name}" in "${given}": the device needs it`);
  const facts = check(
    imageFactsSchema,
    parseJson(await readFile(join(given, "image.json"), "utf8"), IMAGE_FACTS_BYTES_MAX, "image facts"),
    "image.json",
  );
  const out = resolve(options.out);
  await mkdir(out, { recursive: true });
  const work = await mkdtemp(join(out, ".work-"));
  try {
    const step = steps();
    const base = await step("Debian base", () => debianBase((line) => console.log(line)));
    await step("our programs", () => buildAll());
    const root = join(work, "root");
    await step("the device's root", () => makeSystem({ base, given, root, version: facts.version, logTo: options["log-to"] }));
    const verified = await step("root image", () => makeRoot(root, join(work, "root.img"), facts.version, options.level));
    const usb = options.usb === "2" ? 2 : 0;
    await step("kernel image", () => makeKernel({ base, verified, usb, logTo: options["log-to"] }, join(work, "kernel.efi")));
    const files = ["root.img", "kernel.efi"];
    if (!options["parts-only"]) {
      await step("disk", async () => {
        const addons = { a: join(work, "slot-a.addon.efi"), b: join(work, "slot-b.addon.efi") };
        await makeSlotAddon(base, "a", addons.a);
        await makeSlotAddon(base, "b", addons.b);
        const bootLoader = join(base.tools, "usr/lib/systemd/boot/efi/systemd-bootx64.efi");
        const parts = { bootLoader, kernel: join(work, "kernel.efi"), addons, root: join(work, "root.img") };
        const sizes = { esp: options["esp-mib"], slot: options["slot-mib"], data: options["data-mib"] };
        await makeDisk(join(work, "disk.img"), work, parts, sizes);
      });
      files.push("disk.img");
    }
    await put(join(work, "packages.txt"), await readFile(join(root, "usr/share/sallyport/packages.txt")));
    for (const name of [...files, "packages.txt"]) await rename(join(work, name), join(out, name));
    for (const name of files) {
      const { size, blocks } = await stat(join(out, name));
      console.log(`${name.padEnd(12)} ${mib(size)} MiB, ${mib(blocks * 512)} on disk`);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(1);

/** Says how long each takes. */
function steps(): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  return async (name, work) => {
    const started = performance.now();
    const made = await work();
    console.log(`${name.padEnd(18)} ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return made;
  };
}

try {
  await build(read(process.argv.slice(2)));
} catch (error) {
  const fault = asFault(error, "assert.broken", "build the image");
  console.error(`${fault.code}: ${fault.message}${fault.code === "usage.invalid" ? `\n${USAGE}` : ""}`);
  process.exitCode = fault.code === "usage.invalid" ? 2 : 1;
}
