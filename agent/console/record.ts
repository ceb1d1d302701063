// The console's record, which outlives the agent: how long the next answer has to wait, and when
// the hint was printed last. An agent that starts again and again must neither let a guesser start
// anew nor fill the screen of the person at the cable. [CON-5] [CON-13] [OPS-28]
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { REFUSED_DELAY_MS_MAX } from "./limits.ts";
import type { ThrottleState } from "./login-throttle.ts";

const NAME = "console.json";
const BYTES_MAX = 1024;

const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const recordSchema = v.strictObject({
  v: v.literal(1),
  delayMs: v.optional(v.pipe(milliseconds, v.maxValue(REFUSED_DELAY_MS_MAX)), 0),
  openAtMs: v.optional(milliseconds, 0),
  hintAtMs: v.optional(milliseconds),
  /** The kernel's id of the boot that `hintAtMs` is of. */
  bootId: v.optional(v.pipe(v.string(), v.maxLength(64))),
});
type ConsoleState = v.InferOutput<typeof recordSchema>;

const CONSOLE_RECORD: RecordFormat<ConsoleState> = {
  what: "the console's record",
  version: 1,
  readable: 1,
  bytesMax: BYTES_MAX,
  schema: recordSchema,
  replaceable: true, // a newer record that cannot be used counts as the longest delay
};

export interface BootTime {
  /** On the monotonic clock, which begins again with each boot. */
  readonly nowMs: number;
  /** Undefined when it cannot be read: then nothing counts as of this boot. */
  readonly bootId: string | undefined;
}

export interface ConsoleRecord {
  readonly throttle: ThrottleState;
  /** When the hint was printed last in this boot, monotonic; undefined when it was not. */
  readonly hintAtMs: number | undefined;
  /** Never rejects; the fault of the files, if any, goes to `onFault`. */
  write(change: Partial<ThrottleState & { readonly hintAtMs: number }>): Promise<void>;
}

/**
 * Reads the record. A damaged one, or one of another version, is taken for the longest delay: it
 * may have been damaged to shorten it.
 * @param onFault is called with undefined when the record was written.
 */
export async function openConsoleRecord(
  files: DurableFiles,
  { nowMs, bootId }: BootTime,
  onFault: (fault: Fault | undefined) => void,
): Promise<ConsoleRecord> {
  let state = await read(files, nowMs, onFault);
  return {
    throttle: { delayMs: state.delayMs, openAtMs: state.openAtMs },
    hintAtMs: bootId !== undefined && state.bootId === bootId ? state.hintAtMs : undefined,
    async write(change) {
      state = { ...state, ...change, ...(bootId !== undefined && { bootId }) };
      try {
        await writeRecord(files, NAME, CONSOLE_RECORD, state);
        onFault(undefined);
      } catch (error) {
        onFault(asFault(error, "file.write-failed", "write the console's record"));
      }
    },
  };
}

async function read(files: DurableFiles, nowMs: number, onFault: (fault: Fault) => void): Promise<ConsoleState> {
  try {
    return (await readRecord(files, NAME, CONSOLE_RECORD)) ?? { v: 1, delayMs: 0, openAtMs: 0 };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    onFault(error);
    return { v: 1, delayMs: REFUSED_DELAY_MS_MAX, openAtMs: Math.ceil(nowMs) + REFUSED_DELAY_MS_MAX };
  }
}
