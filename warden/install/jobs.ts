// The installer's jobs, as they come from the warden over standard input.
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { createLineSplitter } from "../protocol/framing/format.ts";
import { INSTALL_LINE_BYTES_MAX, type InstallJob, installJobSchema } from "./format.ts";

/** Jobs that wait. The warden sends one range at a time, so more than a few are a defect. */
const JOBS_WAITING_MAX = 8;

export interface InstallJobs {
  /**
   * @returns undefined when there will be no more.
   * @throws Fault `protocol.*`, `json.*` for a line that is not a job.
   */
  next(): Promise<InstallJob | undefined>;
  /** Aborts at the end of the input: the warden is gone. */
  readonly signal: AbortSignal;
}

/** Reads on while work is under way, so that the end of the input is noticed at once. */
export function readJobs(input: AsyncIterable<Uint8Array>): InstallJobs {
  const ended = new AbortController();
  const waiting: (InstallJob | Fault)[] = [];
  let wake = (): void => undefined;
  const put = (job: InstallJob | Fault): void => {
    waiting.push(job);
    wake();
  };
  void receive(input, put, () => waiting.length < JOBS_WAITING_MAX).finally(() => {
    ended.abort();
    wake();
  });
  return {
    signal: ended.signal,
    next: async () => {
      for (;;) {
        const job = waiting.shift();
        if (job instanceof Fault) throw job;
        if (job !== undefined || ended.signal.aborted) return job;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** Never rejects: {@link InstallJobs.next} throws what cannot be read. */
async function receive(
  input: AsyncIterable<Uint8Array>,
  put: (job: InstallJob | Fault) => void,
  hasRoom: () => boolean,
): Promise<void> {
  const splitter = createLineSplitter(INSTALL_LINE_BYTES_MAX);
  try {
    for await (const chunk of input)
      for (const line of splitter.push(chunk)) {
        if (!hasRoom()) throw new Fault("protocol.rate-limited", `more than ${JOBS_WAITING_MAX} jobs wait`);
        put(check(installJobSchema, parseJson(line, INSTALL_LINE_BYTES_MAX, "job"), "job", "protocol.invalid"));
      }
  } catch (error) {
    put(error instanceof Fault ? error : new Fault("protocol.closed", "read jobs: the pipe broke", { cause: error }));
  }
}
