// Audit events per second, each durable before it is answered. [AUD-10]
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bench, Measure } from "./bench.ts";
import { type Contender, inTurns, perSecond, type RoundOutcome, startContender } from "./contender.ts";
import { type Finding, finding } from "./finding.ts";
import { readSegment } from "../../warden/audit/format/index.ts";

const TOGETHER = 64;

export const audit: Measure = {
  name: "audit",
  peers: [
    {
      name: "write+fdatasync",
      does: "writes as many bytes behind each other and waits until they are on the disk, in one thread that blocks",
      lacks: "no hash chain, no checksum, nothing else can run meanwhile",
    },
    { name: "the same, promises", does: "the same by way of libuv's threads", lacks: "no hash chain, no checksum" },
  ],
  how: `audit events durable per second, one after the other, against a bare loop of write and fdatasync with records of the same size on the same disk; and ${TOGETHER} callers at once, who share writes`,
  async run(bench) {
    // many short rounds, because other work on the disk comes and goes; shorter ones would show how
    // a program recovers from the garbage collection between them
    const [rounds, count] = bench.quick ? [80, 25] : [400, 25];
    const { directory } = bench;
    const one = await openLog(bench, "one", 1);
    const many = await openLog(bench, "many", TOGETHER);
    const bytes = await bytesPerRecord(one, join(directory, "one/audit"));
    const bare = (how: string): Promise<Contender> =>
      startContender(bench, { program: "bare-writes", args: [join(directory, how), `${bytes}`, how] });
    const contenders = [one, await bare("blocking"), await bare("promises"), many];
    const rate = ([log, loop]: readonly (readonly RoundOutcome[])[]): Finding =>
      finding({
        what: `one after the other, ${bytes} bytes`,
        unit: "/s",
        ours: perSecond(log, count),
        peer: { name: "write+fdatasync", values: perSecond(loop, count) },
        target: { of: "ratio", is: "at least", bound: 0.7 },
      });
    const outcomes = await inTurns(contenders, {
      rounds,
      roundsMax: bench.quick ? rounds : 4 * rounds,
      count,
      enough: (played) => rate(played).certain !== false,
      progress: bench.progress,
    });
    const [ours = [], blocking = [], promises = [], together = []] = outcomes.map((each) => perSecond(each, count));
    const loop = { name: "write+fdatasync", values: blocking };
    const compared = rate(outcomes);
    const pause = (1000 / (compared.peer?.median ?? 1)).toFixed(2);
    const why = `this disk takes ${pause} ms for a write, so what shows is the way through libuv's threads and back, which the blocking loop spares itself; the next row is the same loop without blocking`;
    return [
      { ...compared, why: compared.met === false ? why : undefined },
      finding({
        what: "  as against a loop that leaves its thread free",
        unit: "/s",
        ours,
        peer: { name: "the same, promises", values: promises },
      }),
      finding({ what: `${TOGETHER} callers at once`, unit: "/s", ours: together, peer: loop }),
    ];
  },
};

async function openLog(bench: Bench, name: string, width: number): Promise<Contender> {
  const directory = join(bench.directory, name);
  await mkdir(directory);
  return startContender(bench, { program: "audit-log", args: [directory, `${width}`] });
}

/** The records as they lie on disk, with their frames and without the zeros behind them. */
async function bytesPerRecord(log: Contender, directory: string): Promise<number> {
  const count = 100;
  const before = await bytesIn(directory);
  await log.round(count);
  return Math.round(((await bytesIn(directory)) - before) / count);
}

async function bytesIn(directory: string): Promise<number> {
  const segments = (await readdir(directory)).filter((name) => name.startsWith("segment"));
  const files = await Promise.all(segments.map((name) => readFile(join(directory, name))));
  return files.reduce((sum, bytes) => sum + readSegment(bytes).validBytes, 0);
}
