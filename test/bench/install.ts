// Speed and memory of an installation, against casync's own tool on the same chunks. [OTA-31]
// [OTA-33]
import { glob, copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { assert } from "../../hal/fault.ts";
import { casyncExtract, casyncMake } from "../lab/counterparts/casync.ts";
import { runProgram } from "../../hal/linux/index.ts";
import { HANG_MS } from "../lab/runner/process.ts";
import { needs } from "../lab/runner/needs.ts";
import type { Bench, Measure } from "./bench.ts";
import { startContender } from "./contender.ts";
import { finding } from "./finding.ts";

const MIB = 1_048_576;
interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

export const install: Measure = {
  name: "install",
  peers: [
    {
      name: "casync extract",
      does: "reads an index and its chunks, verifies each by SHA-512/256, writes the image through the page cache",
      lacks: "no sync, no read-back, no second hash, no bound of memory",
    },
    {
      name: "casync, sync, cmp",
      does: "the same, then sync -d of the image and cmp with the source: the image is known to be on the disk",
      lacks: "cmp needs the image itself, which a device does not have; nothing is hashed from the disk",
    },
  ],
  how: "an image (Node's own binary) from a hand-over directory into a slot: every chunk verified, written, synced, read back from the disk and hashed again, in a process of its own each time; all from memory, by turns",
  async run(bench) {
    const missing = needs("casync");
    assert(missing === false, `the peer is casync's own tool: it ${missing}`);
    const rounds = bench.quick ? 5 : 15;
    const image = process.execPath;
    const mib = (await stat(image)).size / MIB;
    const places = await prepare(bench, image);
    const [ours, theirs]: [(Cost & { readonly grownBytes: number })[], PeerCost[]] = [[], []];
    for (let round = 0; round <= rounds; round += 1) {
      if (round % Math.ceil(rounds / 4) === 0) bench.progress(`round ${round} of ${rounds}`);
      const peer = round % 2 === 0 ? await extractOnce(places, image) : undefined;
      const mine = await installOnce(bench, places);
      const his = peer ?? (await extractOnce(places, image));
      // the first round of each only warms the page cache
      if (round === 0) continue;
      ours.push(mine);
      theirs.push(his);
    }
    const name = "casync extract";
    const rate = ({ ms }: Cost): number => (mib * 1000) / ms;
    return [
      finding({
        what: `${mib.toFixed(0)} MiB installed`,
        unit: "MiB/s",
        ours: ours.map(rate),
        peer: { name, values: theirs.map(rate) },
        target: { of: "ratio", is: "at least", bound: 1 },
        whyMissed:
          "SHA-512/256 runs once on the way in and once on the way back, the peer's once; on two processors that other work shares, twice the hashing takes longer than half the waiting saves",
      }),
      finding({
        what: "  as against an image known to be on the disk",
        unit: "MiB/s",
        ours: ours.map(rate),
        peer: { name: "casync, sync, cmp", values: theirs.map(({ checkedMs }) => (mib * 1000) / checkedMs) },
      }),
      finding({
        what: "  processor time",
        unit: "ms",
        ours: ours.map(({ cpuMs }) => cpuMs),
        peer: { name, values: theirs.map(({ cpuMs }) => cpuMs) },
      }),
      finding({
        what: "growth of RSS at most, threads included",
        unit: "bytes",
        ours: ours.map(({ grownBytes }) => grownBytes),
        target: { of: "ours", is: "at most", bound: 32 * MIB },
        whyMissed: "something is kept for every chunk, or malloc keeps what threads freed",
      }),
    ];
  },
};

interface Places {
  readonly caibx: string;
  readonly store: string;
  readonly handover: string;
  readonly board: string;
  readonly extracted: string;
}

async function prepare({ directory, progress }: Bench, image: string): Promise<Places> {
  const at = (name: string): string => join(directory, name);
  const places = {
    caibx: at("image.caibx"),
    store: at("store"),
    handover: at("handover"),
    board: at("board"),
    extracted: at("out"),
  };
  progress("casync cuts the image");
  await casyncMake(places.caibx, places.store, image);
  await mkdir(places.handover);
  for await (const chunk of glob(join(places.store, "*/*.cacnk"))) await copyFile(chunk, join(places.handover, basename(chunk)));
  await mkdir(join(places.board, "proc"), { recursive: true });
  await mkdir(join(places.board, "slots"));
  await writeFile(join(places.board, "proc/cmdline"), "sallyport.slot=a\n");
  return places;
}

async function installOnce(bench: Bench, { caibx, handover, board }: Places): Promise<Cost & { readonly grownBytes: number }> {
  const installer = await startContender(bench, {
    program: "install-image",
    args: [caibx, handover, board],
  });
  const { ms, cpuMs, grownBytes } = await installer.round(1);
  await installer.end();
  assert(cpuMs !== undefined && grownBytes !== undefined, "the installer tells what it cost");
  return { ms, cpuMs, grownBytes };
}

interface PeerCost extends Cost {
  /** With sync -d and cmp behind it. */
  readonly checkedMs: number;
}

async function extractOnce({ caibx, store, extracted }: Places, image: string): Promise<PeerCost> {
  await rm(extracted, { force: true });
  const [cpuMs, started] = [await childrenCpuMs(), performance.now()];
  await casyncExtract(caibx, store, extracted);
  const ms = performance.now() - started;
  const cost = { ms, cpuMs: (await childrenCpuMs()) - cpuMs };
  const bounds = { timeoutMs: HANG_MS, outputBytesMax: 4096 };
  await runProgram("sync", ["-d", extracted], bounds);
  await runProgram("cmp", [extracted, image], bounds);
  return { ...cost, checkedMs: performance.now() - started };
}

/**
 * Processor time of children that have ended and were waited for: cutime and cstime of
 * proc_pid_stat(5), in hundredths of a second.
 */
async function childrenCpuMs(): Promise<number> {
  const text = await readFile("/proc/self/stat", "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10;
}
