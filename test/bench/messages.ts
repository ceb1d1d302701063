// QoS 1 messages per second, and whether memory stays flat over them.
import { encodeMessage } from "../../agent/tunnel/messages.ts";
import type { Bench, Measure } from "./bench.ts";
import { type BenchBroker, startBroker } from "./broker.ts";
import { inTurns, perSecond, type RoundOutcome, startContender } from "./contender.ts";
import { type Compared, type Finding, finding } from "./finding.ts";
import { slopeOf } from "./stats.ts";

/** Messages in flight as the tunnel limits them: direct deliveries, and messages of the spool. */
const WINDOWS = { deliver: 8, publish: 32 } as const;
const FILLING_BYTES = 128;
const ROUNDS = 20;
/** Played on until the interval of the ratio lies on one side of the target. */
const ROUNDS_MAX = 80;
const SPOOLED = { of: "ratio", is: "at least", bound: 0.55 } as const;
/** The share of rounds that only fills caches and compiles code. */
const WARM_UP_RATIO = 0.25;
/**
 * Bytes that a message may leave behind: a ninth of its id, the smallest part of it that could
 * leak.
 */
const KEPT_BYTES_MAX = 4;

export const messages: Measure = {
  name: "messages",
  peers: [
    {
      name: "mqtt.js",
      does: "publishes at QoS 1 with as many messages on the way, over TLS 1.3 with a client certificate",
      lacks:
        "nothing is on the disk, no envelope with id and time, no bound of bytes in flight; it sends the same text each time",
    },
  ],
  how: "QoS 1 messages acknowledged per second through our tunnel, delivered at once or by way of the spool on disk, against mqtt.js in its default settings with as many on the way and nothing on disk; Mosquitto. Memory after a collection each round, linear fit without the first quarter; RSS rises in steps until V8 has given its young generation the full size, so what shows a leak is the memory kept",
  async run(bench) {
    const broker = await startBroker(bench, WINDOWS.publish);
    const found: Finding[] = [];
    for (const path of ["deliver", "publish"] as const) found.push(...(await compare(bench, broker, path)));
    return found;
  },
};

async function compare(bench: Bench, { session }: BenchBroker, path: keyof typeof WINDOWS): Promise<readonly Finding[]> {
  const count = bench.quick ? 2000 : 5000;
  const width = `${WINDOWS[path]}`;
  const { byteLength } = encodeMessage({ kind: "bench.event", text: "x".repeat(FILLING_BYTES) }, Date.now());
  const ours = await startContender(bench, {
    program: "tunnel-messages",
    args: [...session(`gw-${path}`), path, width, `${FILLING_BYTES}`, `${bench.directory}/${path}`],
  });
  const bare = await startContender(bench, {
    program: "bare-messages",
    args: [...session(`bare-${path}`), width, `${byteLength}`],
  });
  const spoken =
    path === "deliver" ? {} : { target: SPOOLED, whyMissed: "CPU for each message: id, time, JSON, checksum, promises" };
  const rate = ([mine, theirs]: readonly (readonly RoundOutcome[])[]): Compared => ({
    what: `${path === "deliver" ? "delivered" : "spooled"}, ${byteLength} bytes, ${width} on the way`,
    unit: "/s",
    ours: perSecond(mine, count),
    peer: { name: "mqtt.js", values: perSecond(theirs, count) },
    ...spoken,
  });
  const outcomes = await inTurns([ours, bare], {
    rounds: ROUNDS,
    roundsMax: bench.quick ? ROUNDS : ROUNDS_MAX,
    count,
    enough: (played) => finding(rate(played)).certain !== false,
    progress: (text) => bench.progress(`${path}: ${text}`),
  });
  const [mine = [], theirs = []] = outcomes;
  const total = mine.length * count;
  const what = path === "deliver" ? "delivered" : "spooled";
  const name = "mqtt.js";
  return [
    finding(rate(outcomes)),
    finding({
      what: `${what}: memory kept per message, ${total} messages`,
      unit: "bytes/message",
      ours: [growth(mine, count, "keptBytes")],
      peer: { name, values: [growth(theirs, count, "keptBytes")] },
      // memory kept from the start is small only when divided by all messages
      ...(bench.quick ? {} : { target: { of: "ours", is: "at most", bound: KEPT_BYTES_MAX } as const }),
      whyMissed: "something is kept for every message: compare heap snapshots of the load program",
    }),
    finding({
      what: `${what}: growth of RSS per message`,
      unit: "bytes/message",
      ours: [growth(mine, count, "rssBytes")],
      peer: { name, values: [growth(theirs, count, "rssBytes")] },
    }),
    finding({
      what: `${what}: RSS at the end`,
      unit: "bytes",
      ours: mine.slice(-1).map(({ rssBytes }) => rssBytes),
      peer: { name, values: theirs.slice(-1).map(({ rssBytes }) => rssBytes) },
    }),
  ];
}

function growth(outcomes: readonly RoundOutcome[], count: number, memory: "keptBytes" | "rssBytes"): number {
  const points = outcomes.map((outcome, index) => ({ x: (index + 1) * count, y: outcome[memory] }));
  return slopeOf(points.slice(Math.floor(points.length * WARM_UP_RATIO)));
}
