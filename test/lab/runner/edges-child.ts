// A process that feeds every edge its worst inputs and says, edge by edge, what they cost:
// node --expose-gc edges-child.ts [NAME...]. It prints one JSON object a line.
import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { Fault } from "../../../hal/fault.ts";
import { allEdges, type Edge } from "../edges/index.ts";

/** Only what the programs are made of is counted, not the lab. */
const COUNTED = /\/(?:agent|build|hal|hub|ota|provisioning|warden)\/[^:]*\.ts$|\/node_modules\/(?:valibot|node-forge)\//u;
const TESTS = /\/test\//u;

interface Work {
  readonly calls: number;
  /** Issues that valibot made. */
  readonly issues: number;
}

class Calls {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post("Profiler.enable");
    await this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  }

  /** The calls since the last one of this. */
  async take(): Promise<Work> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    let [calls, issues] = [0, 0];
    for (const { url, functions } of result) {
      if (!COUNTED.test(url) || TESTS.test(url)) continue;
      for (const { functionName, ranges } of functions) {
        const count = ranges[0]?.count ?? 0;
        calls += count;
        if (functionName === "_addIssue") issues += count;
      }
    }
    return { calls, issues };
  }
}

interface Taken {
  readonly refused: number;
  readonly accepted: number;
  readonly messageBytesMax: number;
  readonly codes: readonly string[];
  /** What is no fault: a defect. */
  readonly others: readonly string[];
}

async function takeAll(edge: Edge, inputs: Iterable<readonly [string, () => Uint8Array]>, before: () => void): Promise<Taken> {
  let [refused, accepted, messageBytesMax] = [0, 0, 0];
  const codes = new Set<string>();
  const others: string[] = [];
  for (const [name, make] of inputs) {
    const input = make();
    if (input.byteLength > edge.bytesMax) others.push(`${name}: ${input.byteLength} bytes, above the bound`);
    before();
    try {
      await edge.take(input);
      accepted += 1;
    } catch (error) {
      refused += 1;
      if (!(error instanceof Fault)) others.push(`${name}: ${String(error)}`);
      else {
        codes.add(error.code);
        messageBytesMax = Math.max(messageBytesMax, Buffer.byteLength(error.message));
      }
    }
  }
  return { refused, accepted, messageBytesMax, codes: [...codes], others };
}

/** proc_pid_status(5): the peak since it was reset by clear_refs. */
function memoryOf(field: "VmHWM" | "VmRSS"): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "mu").exec(status)?.[1] ?? "0") * 1024;
}

function resetPeak(): void {
  writeFileSync("/proc/self/clear_refs", "5");
}

/** The most that one input adds to the memory of the process. */
async function growth(edge: Edge): Promise<{ readonly grownBytes: number; readonly worst: string; readonly taken: Taken }> {
  let [grownBytes, from, current, worst] = [0, 0, "", ""];
  const settle = (): void => {
    const grown = memoryOf("VmHWM") - from;
    if (from > 0 && grown > grownBytes) [grownBytes, worst] = [grown, current];
  };
  const named = function* (): Generator<readonly [string, () => Uint8Array]> {
    for (const [name, make] of edge.worst) {
      yield [name, make];
      current = name;
      settle();
    }
  };
  const taken = await takeAll(edge, named(), () => {
    if (edge.bytesMax > 1_000_000) globalThis.gc?.();
    resetPeak();
    from = memoryOf("VmRSS");
  });
  return { grownBytes, worst, taken };
}

const wanted = process.argv.slice(2);
const edges = [...(await allEdges())].filter(([name]) => wanted.length === 0 || wanted.includes(name));
const calls = new Calls();
const measured = new Map<string, object>();
for (const [name, edge] of edges) {
  const valid = await takeAll(edge, [["valid", edge.valid]], () => undefined);
  globalThis.gc?.();
  const { grownBytes, worst, taken } = await growth(edge);
  measured.set(name, { isValidAccepted: valid.accepted === 1, grownBytes, worst, ...taken });
}
await calls.start();
for (const [name, edge] of edges) {
  await calls.take();
  await takeAll(edge, [["valid", edge.valid]], () => undefined);
  const valid = await calls.take();
  await takeAll(edge, edge.worst, () => undefined);
  const worst = await calls.take();
  process.stdout.write(`${JSON.stringify({ name, inputs: edge.worst.size, valid, total: worst, ...measured.get(name) })}\n`);
}
