// The delay of a policy revert while a captured agent floods the warden, against a quiet run.
// [LCK-15] [OPS-11]
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assert } from "../../hal/fault.ts";
import { lacksProbeNetwork } from "../lab/counterparts/network-probe.ts";
import { eventually, startProgram } from "../lab/runner/process.ts";
import { CONFIRM_WITHIN_S, filteredWarden } from "../lab/worlds/filtered-warden.ts";
import type { Bench, Measure } from "./bench.ts";
import { finding } from "./finding.ts";
import { memoryOf } from "./memory.ts";

const FLOODER = fileURLToPath(new URL("../attack/warden-flood/flooder-child.ts", import.meta.url));

const FLOODS = [
  "as many faults as a line holds",
  "64 KiB lines that are no requests",
  "every verb at once",
  "many connections",
  "invalid lines",
  "lines without end",
  "unknown verbs",
  "trust.refresh",
  "lockdown.preview",
  "audit.append",
];
const QUICK_FLOODS = 4;
/** The switch comes 2 s after the deadline, then nft has to run on a busy machine. */
const LATE_MS_MAX = 4000;

export const deadlines: Measure = {
  name: "deadlines",
  peers: [{ name: "quiet", does: "the same revert of the same policy by the same warden", lacks: "no flood at its socket" }],
  how: `a policy that nobody confirms within ${CONFIRM_WITHIN_S} s, probed from the other side of the cable: how long after that it goes out of force while the warden's socket is flooded, against a run without a flood`,
  async run(bench) {
    const missing = lacksProbeNetwork("netns");
    assert(missing === false, `policies are tried in network namespaces: it ${missing}`);
    bench.progress("quiet");
    const quiet = await revert(bench, undefined);
    const floods = bench.quick ? FLOODS.slice(0, QUICK_FLOODS) : FLOODS;
    const findings = [];
    const peaks: number[] = [];
    for (const name of floods) {
      bench.progress(name);
      const { lateMs, peakBytes } = await revert(bench, name);
      peaks.push(peakBytes);
      findings.push(
        finding({
          what: `late, ${name}`,
          unit: "ms",
          ours: [lateMs],
          peer: { name: "quiet", values: [quiet.lateMs] },
          target: { of: "ours", is: "at most", bound: LATE_MS_MAX },
        }),
      );
    }
    return [
      ...findings,
      finding({
        what: "peak RSS of the warden",
        unit: "bytes",
        ours: peaks,
        peer: { name: "quiet", values: peaks.map(() => quiet.peakBytes) },
      }),
      finding({ what: "PSS of the armed switch", unit: "bytes", ours: [quiet.switchBytes] }),
    ];
  },
};

interface Revert {
  readonly lateMs: number;
  readonly switchBytes: number;
  readonly peakBytes: number;
}

async function revert(bench: Bench, flood: string | undefined): Promise<Revert> {
  const acts: (() => Promise<void> | void)[] = [];
  const undo = async (): Promise<void> => {
    for (let act = acts.pop(); act !== undefined; act = acts.pop()) await act();
  };
  bench.teardown(undo);
  const world = await filteredWarden({ teardown: (act) => void acts.push(act) });
  await world.tryPolicy();
  const triedAtMs = performance.now();
  const switchBytes = await switchBytesOf(world.program.pid);
  if (flood !== undefined) {
    const flooder = startProgram({
      name: "flooder",
      command: process.execPath,
      args: [FLOODER, world.lab.socket, flood],
      endsWithUs: true,
    });
    acts.push(async () => void (await flooder.stop("SIGKILL")));
  }
  const shutAtMs = await eventually(
    "the revert",
    async () => {
      const askedAtMs = performance.now();
      return (await world.probe()) === "silent" ? askedAtMs : undefined;
    },
    undefined,
    10,
  );
  const peakBytes = await peakBytesOf(world.program.pid);
  await undo();
  return { lateMs: shutAtMs - triedAtMs - CONFIRM_WITHIN_S * 1000, switchBytes, peakBytes };
}

/**
 * The shell that waits, and the sleep that it waits for. The one that was armed before the policy
 * was in force may be ending meanwhile.
 */
async function switchBytesOf(warden: number): Promise<number> {
  let bytes = 0;
  for (const shell of await childrenOf(warden)) {
    const command = await readFile(`/proc/${shell}/cmdline`, "utf8").catch(() => "");
    if (!command.includes("sallyport-dead-man")) continue;
    for (const pid of [shell, ...(await childrenOf(shell))])
      bytes += await memoryOf(pid).then(
        ({ pssBytes }) => pssBytes,
        () => 0,
      );
  }
  return bytes;
}

/** proc_pid_task(5). */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

/** VmHWM of proc_pid_status(5), in kB there. */
async function peakBytesOf(pid: number): Promise<number> {
  return Number(/^VmHWM:\s+(\d+) kB$/mu.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
