// Releases of a gateway's system, as `npm run image` makes them, that differ in version and counter
// and in what is broken in them.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { debianBase } from "../../../build/image/base.ts";
import { makeDisk } from "../../../build/image/disk.ts";
import { copyInto } from "../../../build/image/files.ts";
import { makeKernel } from "../../../build/image/kernel.ts";
import { layoutOf } from "../../../build/image/layout.ts";
import { run } from "../../../build/image/run.ts";
import { makeSystem } from "../../../build/image/system.ts";
import { makeRoot } from "../../../build/image/verity.ts";
import type { PartFiles } from "../../../build/release/image.ts";
import { HARDWARE } from "../worlds/board.ts";

export interface ReleaseFacts {
  readonly version: string;
  readonly counter: number;
  /** `broken`: the agent ends as soon as it is started. */
  readonly agent?: "broken";
  /** The same for Node, so that none of our programs starts. */
  readonly node?: "broken";
  /** Seconds of its trial; the warden's default when left out. */
  readonly trialS?: number;
}

export interface ImageFiles extends ReleaseFacts {
  readonly parts: PartFiles;
}

export interface ImagesOptions {
  /** Gets `disk.img`. */
  readonly directory: string;
  /** Files that every release has. */
  readonly given: string;
  readonly first: ReleaseFacts;
  readonly later: readonly ReleaseFacts[];
  readonly wardenConfig: (facts: ReleaseFacts) => object;
  readonly say: (line: string) => void;
}

const BROKEN_AGENT = 'console.error("this agent was broken on purpose");\nprocess.exit(1);\n';
const BROKEN_NODE = '#!/bin/sh\necho "this Node was broken on purpose" >&2\nexit 1\n';
/** Compression level: fast rather than small. */
const LEVEL = 3;
/** In MiB. */
const SIZES = { esp: 128, slot: 160, data: 320 };
/** In bytes of the disk. */
export const { esp: ESP, "root-b": ROOT_B } = layoutOf(SIZES).partitions;
/** The line for the log of the kernel and of systemd, in an image for tests only. */
const LOG_LINE = "ttyS1";

/**
 * @returns the later releases; the first is on the disk.
 * @throws Fault `process.failed`, `slot.too-small`.
 */
export async function makeImages(images: ImagesOptions): Promise<readonly ImageFiles[]> {
  const { directory, first, later, say } = images;
  const base = await debianBase(say);
  const work = join(directory, "images");
  await mkdir(work);
  const made: ImageFiles[] = [];
  for (const facts of [first, ...later]) {
    say(`release ${facts.version}`);
    made.push(await makeRelease(images, base, work, facts));
  }
  const [onDisk, ...others] = made;
  const { root = "", kernel = "" } = Object.fromEntries(onDisk?.parts ?? []);
  await makeDisk(join(directory, "disk.img"), work, { base, kernel, root }, SIZES);
  return others;
}

/**
 * Writes the factory's disk with another release in slot b, as an update leaves it: with two tries.
 * @param directory that {@link makeImages} was given.
 */
export async function putOnTrial(directory: string, { version }: ReleaseFacts, disk: string): Promise<void> {
  const at = (name: string): string => join(directory, "images", name);
  const esp = ["-i", `${disk}@@${ESP.from}`];
  await run("cp", ["--sparse=always", join(directory, "disk.img"), disk]);
  await copyInto(disk, at(`${version}.root`), ROOT_B.from);
  await run("mcopy", [...esp, at(`${version}.kernel`), "::EFI/Linux/gw_2_b+2.efi"]);
  await run("mmd", [...esp, "::EFI/Linux/gw_2_b.efi.extra.d"]);
  await run("mcopy", [...esp, "::EFI/sallyport/slot-b.addon.efi", "::EFI/Linux/gw_2_b.efi.extra.d/slot.addon.efi"]);
}

async function makeRelease(
  { given, wardenConfig }: ImagesOptions,
  base: Awaited<ReturnType<typeof debianBase>>,
  work: string,
  facts: ReleaseFacts,
): Promise<ImageFiles> {
  const { version, counter } = facts;
  await writeFile(join(given, "image.json"), JSON.stringify({ v: 1, version, hardware: HARDWARE, counter }));
  await writeFile(join(given, "warden.json"), JSON.stringify(wardenConfig(facts)));
  const root = join(work, "root");
  await makeSystem({ base, given, root, version });
  if (facts.agent === "broken") await writeFile(join(root, "usr/lib/sallyport/sallyport-agent/main.js"), BROKEN_AGENT);
  if (facts.node === "broken") await writeFile(join(root, "usr/lib/sallyport/node"), BROKEN_NODE);
  const [image, kernel] = [join(work, `${version}.root`), join(work, `${version}.kernel`)];
  const verified = await makeRoot(root, image, version, LEVEL);
  await makeKernel({ base, verified, usb: 0, logTo: LOG_LINE }, kernel);
  await rm(root, { recursive: true });
  return {
    ...facts,
    parts: new Map([
      ["root", image],
      ["kernel", kernel],
    ] as const),
  };
}
