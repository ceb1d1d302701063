// A load program in a process of its own, so that its memory can be measured, and rounds in which
// two or more of them take turns.
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import * as v from "valibot";
import { bundleFile } from "../../build/bundle.ts";
import { assert } from "../../hal/fault.ts";
import { startProgram } from "../lab/runner/process.ts";
import { type Bench, PROJECT } from "./bench.ts";

const outcomeSchema = v.looseObject({
  round: v.number(),
  ms: v.number(),
  rssBytes: v.number(),
  keptBytes: v.number(),
  tls: v.optional(v.string()),
  cpuMs: v.optional(v.number()),
  grownBytes: v.optional(v.number()),
  planMs: v.optional(v.number()),
});
export type RoundOutcome = v.InferOutput<typeof outcomeSchema>;

export interface Contender {
  round(count: number): Promise<RoundOutcome>;
  end(): Promise<void>;
}

/**
 * Programs with `ours` are bundled as the device's programs are. The peers run unbundled, with
 * packages from node_modules.
 */
const LOADS = {
  "tunnel-messages": { ours: true, source: new URL("./load/tunnel-messages.ts", import.meta.url) },
  "bare-messages": { ours: false, source: new URL("./load/bare-messages.ts", import.meta.url) },
  "tunnel-reconnects": { ours: true, source: new URL("./load/tunnel-reconnects.ts", import.meta.url) },
  "bare-reconnects": { ours: false, source: new URL("./load/bare-reconnects.ts", import.meta.url) },
  "bare-session": { ours: false, source: new URL("./load/bare-session.ts", import.meta.url) },
  "audit-log": { ours: true, source: new URL("./load/audit-log.ts", import.meta.url) },
  "install-image": { ours: true, source: new URL("./load/install-image.ts", import.meta.url) },
  "policy-apply": { ours: true, source: new URL("./load/policy-apply.ts", import.meta.url) },
  "bare-nft": { ours: false, source: new URL("./load/bare-nft.ts", import.meta.url) },
  "bare-writes": { ours: false, source: new URL("./load/bare-writes.ts", import.meta.url) },
} as const;
export type Load = keyof typeof LOADS;

export interface ContenderOptions {
  readonly program: Load;
  readonly args: readonly string[];
  /** Options for Node itself. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A command before Node's path, for instance to enter a namespace. */
  readonly inside?: readonly [string, ...string[]];
}

const ROUND_MS_MAX = 600_000;

export async function startContender(
  bench: Bench,
  { program, args, flags = [], env = {}, inside }: ContenderOptions,
): Promise<Contender> {
  const file = await buildLoad(bench, program);
  const [command = process.execPath, ...words] = [...(inside ?? []), process.execPath, "--expose-gc", ...flags, file, ...args];
  const running = startProgram({ name: program, command, args: words, env, input: true });
  bench.teardown(async () => void (await running.stop("SIGKILL")));
  await running.line(/^\{"round":0\}$/u);
  let rounds = 0;
  return {
    end: async () => void (await running.stop("SIGKILL")),
    async round(count) {
      rounds += 1;
      running.write(`${rounds} ${count}\n`);
      const line = await running.line(new RegExp(`^\\{"round":${rounds},`, "u"), ROUND_MS_MAX);
      return v.parse(outcomeSchema, JSON.parse(line));
    },
  };
}

/**
 * @returns the file to run: plain JavaScript, because type stripping in Node costs memory and time.
 */
export async function buildLoad(bench: Bench, program: Load): Promise<string> {
  const { ours, source } = LOADS[program];
  const entry = relative(PROJECT, fileURLToPath(source));
  const outfile = join(bench.directory, `${program}.mjs`);
  if (ours) await bundleFile(entry, outfile);
  else
    await build({
      entryPoints: [join(PROJECT, entry)],
      outfile,
      bundle: true,
      packages: "external",
      platform: "node",
      target: "node26",
      format: "esm",
      logLevel: "warning",
    });
  return outfile;
}

/** Runs rounds in turn, after one that does not count. @returns the results of each contender. */
export async function inTurns(
  contenders: readonly Contender[],
  rounds: number,
  count: number,
  progress: (text: string) => void,
): Promise<readonly (readonly RoundOutcome[])[]> {
  const outcomes = contenders.map((): RoundOutcome[] => []);
  for (let round = 0; round <= rounds; round += 1) {
    if (round % Math.ceil(rounds / 4) === 0) progress(`round ${round} of ${rounds}, ${count} each`);
    // the order changes as well
    const order = round % 2 === 0 ? contenders.keys() : [...contenders.keys()].reverse();
    for (const index of order) {
      const outcome = await contenders[index]?.round(count);
      assert(outcome !== undefined, "each contender has its turn");
      if (round > 0) outcomes[index]?.push(outcome);
    }
  }
  return outcomes;
}

export function perSecond(outcomes: readonly RoundOutcome[] | undefined, count: number): readonly number[] {
  return (outcomes ?? []).map(({ ms }) => (count * 1000) / ms);
}
