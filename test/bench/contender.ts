// A load program in a process of its own, so that its memory can be measured, and rounds in which
// two or more of them take turns.
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import * as v from "valibot";
import { bundleFile } from "../../build/bundle.ts";
import { assert } from "../../hal/fault.ts";
import { startProgram } from "../lab/runner/process.ts";
import { startOf, type UnitStart } from "../lab/runner/units.ts";
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
  mendMs: v.optional(v.number()),
});
export type RoundOutcome = v.InferOutput<typeof outcomeSchema>;

export interface Contender {
  round(count: number): Promise<RoundOutcome>;
  end(): Promise<void>;
}

/**
 * Programs with `as` are bundled as the device's programs are, and started as that unit starts
 * Node. The peers run unbundled, with packages from node_modules and Node's default options.
 */
const LOADS = {
  "tunnel-messages": { as: "sallyport-agent.service", source: new URL("./load/tunnel-messages.ts", import.meta.url) },
  "bare-messages": { as: undefined, source: new URL("./load/bare-messages.ts", import.meta.url) },
  "tunnel-reconnects": { as: "sallyport-agent.service", source: new URL("./load/tunnel-reconnects.ts", import.meta.url) },
  "bare-reconnects": { as: undefined, source: new URL("./load/bare-reconnects.ts", import.meta.url) },
  "bare-session": { as: undefined, source: new URL("./load/bare-session.ts", import.meta.url) },
  "audit-log": { as: "sallyport-warden.service", source: new URL("./load/audit-log.ts", import.meta.url) },
  "install-image": { as: "sallyport-install@.service", source: new URL("./load/install-image.ts", import.meta.url) },
  "policy-apply": { as: "sallyport-warden.service", source: new URL("./load/policy-apply.ts", import.meta.url) },
  "policy-mend": { as: "sallyport-warden.service", source: new URL("./load/policy-mend.ts", import.meta.url) },
  "bare-nft": { as: undefined, source: new URL("./load/bare-nft.ts", import.meta.url) },
  "tls-handshakes": { as: "sallyport-agent.service", source: new URL("./load/tls-handshakes.ts", import.meta.url) },
  "tpm-signatures": { as: "sallyport-agent.service", source: new URL("./load/tpm-signatures.ts", import.meta.url) },
  "tool-signatures": { as: undefined, source: new URL("./load/tool-signatures.ts", import.meta.url) },
  "provider-signatures": { as: "sallyport-agent.service", source: new URL("./load/provider-signatures.ts", import.meta.url) },
  "bare-writes": { as: undefined, source: new URL("./load/bare-writes.ts", import.meta.url) },
} as const;
export type Load = keyof typeof LOADS;

export interface ContenderOptions {
  readonly program: Load;
  readonly args: readonly string[];
  /** How Node is started, where it is not as the unit does it. */
  readonly start?: UnitStart;
  /** A command before Node's path, for instance to enter a namespace. */
  readonly inside?: readonly [string, ...string[]];
}

const ROUND_MS_MAX = 600_000;

export async function startContender(bench: Bench, { program, args, start, inside }: ContenderOptions): Promise<Contender> {
  const file = await buildLoad(bench, program);
  const unit = LOADS[program].as;
  const { options, env } = start ?? (unit === undefined ? { options: [], env: {} } : startOf(unit));
  const node = [process.execPath, "--expose-gc", ...options, file, ...args];
  const [command = process.execPath, ...words] = [...(inside ?? []), ...node];
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
  const { as, source } = LOADS[program];
  const entry = relative(PROJECT, fileURLToPath(source));
  const outfile = join(bench.directory, `${program}.mjs`);
  if (as !== undefined) await bundleFile(entry, outfile);
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

export interface Turns {
  readonly rounds: number;
  /** Messages, records or the like in a round. */
  readonly count: number;
  /** As many as this are played until {@link enough} says so. */
  readonly roundsMax?: number;
  /** Whether the rounds of each contender tell what they have to. */
  readonly enough?: (outcomes: readonly (readonly RoundOutcome[])[]) => boolean;
  readonly progress: (text: string) => void;
}

/** Runs rounds in turn, after one that does not count. @returns the results of each contender. */
export async function inTurns(
  contenders: readonly Contender[],
  { rounds, count, roundsMax = rounds, enough = () => true, progress }: Turns,
): Promise<readonly (readonly RoundOutcome[])[]> {
  const outcomes = contenders.map((): RoundOutcome[] => []);
  for (let round = 0; round <= roundsMax; round += 1) {
    if (round > rounds && enough(outcomes)) break;
    if (round % Math.ceil(rounds / 4) === 0) progress(`round ${round} of ${rounds} to ${roundsMax}, ${count} each`);
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
