// The kernel's own answers about routes, addresses and tunnels, by iproute2 and wg: no file shows
// routing rules, other tables, lifetimes or the far end of a tunnel. [LCK-41] [LCK-43] [LCK-51]
import * as v from "valibot";
import { Fault } from "../../fault.ts";
import { parseJson } from "../../format/json.ts";
import { check } from "../../format/schema.ts";
import { runToExit } from "../process/index.ts";
import { KERNEL_ANSWERS_MAX, KERNEL_BYTES_MAX, KERNEL_TIMEOUT_MS } from "./limits.ts";

const text = v.optional(v.pipe(v.string(), v.maxLength(64)));
const number = v.optional(v.number());

/** What `ip -j` lists: a route, a rule or a link, told apart by their members. */
const objectSchema = v.object({
  // a route
  dst: text,
  dev: text,
  table: text,
  gateway: text,
  protocol: text,
  nexthops: v.optional(v.array(v.object({ dev: text }))),
  // a rule
  priority: number,
  not: v.optional(v.unknown()),
  fwmark: text,
  uid_start: number,
  ipproto: text,
  tos: text,
  src: text,
  sport: number,
  sport_start: number,
  dport: number,
  dport_start: number,
  prefsrc: text,
  // a link
  ifname: text,
  addr_info: v.optional(v.array(v.object({ family: text, local: text, scope: text, valid_life_time: number }))),
  linkinfo: v.optional(
    v.object({
      info_kind: text,
      info_data: v.optional(
        v.object({
          remote: text,
          remote6: text,
          port: number,
          encap: v.optional(v.object({ dport: number })),
        }),
      ),
    }),
  ),
});
export type KernelObject = v.InferOutput<typeof objectSchema>;

export interface KernelAnswer {
  readonly objects: readonly KernelObject[];
  /** Lines that are not JSON: of a listing that iproute2 has as text only. */
  readonly lines: readonly string[];
}

/**
 * Asks with all `commands` in one process; of both families where a listing has both, unless
 * `family` is `-6`. A command that fails has no answer: a lookup without a
 * route does.
 * @throws Fault `process.failed`, `process.timeout` when it is not known what the kernel says.
 */
export async function askKernel(ip: string, commands: readonly string[], family: readonly string[] = []): Promise<KernelAnswer> {
  const bounds = { timeoutMs: KERNEL_TIMEOUT_MS, outputBytesMax: KERNEL_BYTES_MAX };
  const input = commands.map((command) => `${command}\n`).join("");
  return readKernelAnswer((await runToExit(ip, [...family, "-j", "-d", "-force", "-batch", "-"], { ...bounds, input })).stdout);
}

/** @throws Fault `process.failed` when it is no answer of iproute2 that we understand. */
export function readKernelAnswer(output: string): KernelAnswer {
  const all = output.split("\n").filter((line) => line.trim() !== "");
  const [lists, lines] = [all.filter((line) => line.startsWith("[")), all.filter((line) => !line.startsWith("["))];
  // for a link of another type than was asked for, iproute2 prints an object without members
  const objects = lists.flatMap((line) => read(line)).filter((one) => Object.keys(one).length > 0);
  if (lists.length === 0 || objects.length > KERNEL_ANSWERS_MAX)
    throw new Fault("process.failed", `read ip's answer: expected lists as JSON, ${KERNEL_ANSWERS_MAX} entries at most`);
  return { objects, lines };
}

function read(line: string): readonly KernelObject[] {
  return check(v.array(objectSchema), parseJson(line, KERNEL_BYTES_MAX, "ip's answer"), "ip's answer", "process.failed");
}

/**
 * @returns the words of each line that wg prints; undefined when it could not be asked.
 * @param what not `dump`, which prints private keys.
 */
export async function askWireGuard(wg: string, what: "endpoints" | "fwmark"): Promise<readonly string[][] | undefined> {
  try {
    const bounds = { timeoutMs: KERNEL_TIMEOUT_MS, outputBytesMax: KERNEL_BYTES_MAX };
    const { exitCode, stdout } = await runToExit(wg, ["show", "all", what], bounds);
    return exitCode === 0 ? stdout.split("\n").map((line) => line.split("\t")) : undefined;
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
