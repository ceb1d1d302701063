// The console's record, which outlives the agent: how long the next answer has to wait, and when
// the hint was printed last. An agent that starts again and again must neither let a guesser start
// anew nor fill the screen of whoever works at the cable. [CON-5] [CON-13]
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { REFUSED_DELAY_MS_MAX } from "./limits.ts";
import type { ThrottleState } from "./login-throttle.ts";

const NAME = "console.json";
const BYTES_MAX = 1024;

const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const recordSchema = v.looseObject({
  v: v.literal(1),
  delayMs: v.optional(v.pipe(milliseconds, v.maxValue(REFUSED_DELAY_MS_MAX)), 0),
  openAtMs: v.optional(milliseconds, 0),
  hintAtMs: v.optional(milliseconds),
});
type ConsoleState = v.InferOutput<typeof recordSchema>;

export interface ConsoleRecord {
  readonly throttle: ThrottleState;
  /** When the hint was printed last, on the monotonic clock; undefined when it was not. */
  readonly hintAtMs: number | undefined;
  /** Never rejects; the fault of the files, if any, goes to `onFault`. */
  write(change: Partial<ThrottleState & { readonly hintAtMs: number }>): Promise<void>;
}

/**
 * Reads the record. A damaged one, or one of another version, is taken for the longest delay: it
 * may have been damaged to shorten it.
 * @param nowMs on the monotonic clock.
 * @param onFault is called with undefined when the record was written.
 */
export async function openConsoleRecord(
  files: DurableFiles,
  nowMs: number,
  onFault: (fault: Fault | undefined) => void,
): Promise<ConsoleRecord> {
  let state = await read(files, nowMs, onFault);
  return {
    throttle: { delayMs: state.delayMs, openAtMs: state.openAtMs },
    hintAtMs: state.hintAtMs,
    async write(change) {
      state = { ...state, ...change };
      try {
        await files.put(NAME, Buffer.from(`${JSON.stringify(state)}\n`));
        onFault(undefined);
      } catch (error) {
        onFault(asFault(error, "file.write-failed", "write the console's record"));
      }
    },
  };
}

async function read(files: DurableFiles, nowMs: number, onFault: (fault: Fault) => void): Promise<ConsoleState> {
  try {
    const bytes = await files.get(NAME, BYTES_MAX);
    if (bytes === undefined) return { v: 1, delayMs: 0, openAtMs: 0 };
    return check(recordSchema, parseJson(bytes, BYTES_MAX, "the console's record"), "the console's record");
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    onFault(error);
    return { v: 1, delayMs: REFUSED_DELAY_MS_MAX, openAtMs: Math.ceil(nowMs) + REFUSED_DELAY_MS_MAX };
  }
}
