// A process that feeds every edge its worst inputs and says, edge by edge, what they cost:
// node --expose-gc edges-child.ts [PART OF A NAME...]. It prints one JSON object a line.
import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { Fault } from "../../../hal/fault.ts";
import { allEdges, type Edge } from "../edges/index.ts";
import { CopyCounter } from "./copied.ts";
import { isLongRun } from "./long-run.ts";

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

  async stop(): Promise<void> {
    await this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
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
        if (quotes(error.message, edge.quotedMax ?? QUOTED_UNITS_MAX))
          others.push(`${name}: it quotes too much: ${error.message.slice(0, 200)}`);
        messageBytesMax = Math.max(messageBytesMax, Buffer.byteLength(error.message));
      }
    }
  }
  return { refused, accepted, messageBytesMax, codes: [...codes], others };
}

/** A message quotes at most so many characters of an input. [STA-10] */
const QUOTED_UNITS_MAX = 64;

/** Hostile inputs repeat one character, which shows how much of them a message quotes. */
function quotes(message: string, unitsMax: number): boolean {
  return new RegExp(`(.)\\1{${unitsMax}}`, "su").test(message);
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

/**
 * The most that a refusal copies for a byte of its input, and of an input below
 * {@link COPIES_BYTES_MIN} as if it had that many.
 */
async function copiesOf(edge: Edge, counter: CopyCounter): Promise<{ readonly copiedPerByte: number; readonly copied: string }> {
  let [copiedPerByte, copied] = [0, ""];
  for (const [name, make] of [...edge.worst, ["valid", edge.valid] as const]) {
    const input = make();
    const count = await counter.during(() => edge.take(input));
    const perByte = count / Math.max(COPIES_BYTES_MIN, input.byteLength);
    if (perByte > copiedPerByte) [copiedPerByte, copied] = [perByte, name];
  }
  return { copiedPerByte, copied };
}

const COPIES_BYTES_MIN = 4096;

/** Whether a byte more than the bound is refused, and by a fault. */
async function isBounded(edge: Edge): Promise<boolean> {
  if (edge.boundedBefore === true) return true;
  const valid = edge.valid();
  const input = Buffer.concat([valid, Buffer.alloc(edge.bytesMax + 1 - valid.byteLength, " ")]);
  const { refused, others } = await takeAll({ ...edge, bytesMax: input.byteLength }, [["over", () => input]], () => undefined);
  return refused === 1 && others.length === 0;
}

/** So that whoever waits sees that it goes on. */
function progress(phase: "measured" | "counted", name: string): void {
  process.stdout.write(`${JSON.stringify({ [phase]: name })}\n`);
}

/** So few are all tried. */
const INPUTS_MIN = 6;

/** Outside of the long run, one input of so many. */
const SAMPLED = 6;

/** Every sixth input, begun with another one at the next edge: so each kind is tried at some. */
function sampled(edge: Edge, index: number): Edge {
  const worst =
    edge.worst.size <= INPUTS_MIN ? edge.worst : new Map([...edge.worst].filter((_, n) => n % SAMPLED === index % SAMPLED));
  return { ...edge, worst };
}

const wanted = process.argv.slice(2);
const edges = [...(await allEdges())]
  .map(([name, edge], index) => [name, isLongRun() ? edge : sampled(edge, index)] as const)
  .filter(([name]) => wanted.length === 0 || wanted.some((one) => name.includes(one)));
const calls = new Calls();
const measured = new Map<string, object>();
for (const [name, edge] of edges) {
  const valid = await takeAll(edge, [["valid", edge.valid]], () => undefined);
  globalThis.gc?.();
  const { grownBytes, worst, taken } = await growth(edge);
  progress("measured", name);
  measured.set(name, { isValidAccepted: valid.accepted === 1, isBounded: await isBounded(edge), grownBytes, worst, ...taken });
}
await calls.start();
const counted = new Map<string, object>();
for (const [name, edge] of edges) {
  await calls.take();
  await takeAll(edge, [["valid", edge.valid]], () => undefined);
  const valid = await calls.take();
  await takeAll(edge, edge.worst, () => undefined);
  progress("counted", name);
  counted.set(name, { valid, total: await calls.take() });
}
await calls.stop();
const copies = new CopyCounter();
for (const [name, edge] of edges) {
  const cost = { name, inputs: edge.worst.size, ...counted.get(name), ...(await copiesOf(edge, copies)), ...measured.get(name) };
  process.stdout.write(`${JSON.stringify(cost)}\n`);
}
