// Orders from the warden, as they come over standard input.
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { lineSplitter } from "../protocol/framing/format.ts";
import { INSTALL_LINE_BYTES_MAX, type InstallJob, installJobSchema } from "./format.ts";
import { ORDERS_WAITING_MAX } from "./limits.ts";

export interface InstallJobs {
  /** @returns undefined when there will be no more. @throws Fault `protocol.*`, `json.*` for a line that is no order. */
  next(): Promise<InstallJob | undefined>;
  /** Aborts with the end of the input: who gave the orders is gone. */
  readonly signal: AbortSignal;
}

/** Reads on while work is under way, so that the end of the input is noticed at once. */
export function readJobs(input: AsyncIterable<Uint8Array>): InstallJobs {
  const gone = new AbortController();
  const waiting: (InstallJob | Fault)[] = [];
  let wake = (): void => undefined;
  const put = (order: InstallJob | Fault): void => {
    waiting.push(order);
    wake();
  };
  void receive(input, put, () => waiting.length < ORDERS_WAITING_MAX).finally(() => {
    gone.abort();
    wake();
  });
  return {
    signal: gone.signal,
    next: async () => {
      for (;;) {
        const order = waiting.shift();
        if (order instanceof Fault) throw order;
        if (order !== undefined || gone.signal.aborted) return order;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/** Never rejects: what can't be read is what {@link InstallJobs.next} throws. */
async function receive(
  input: AsyncIterable<Uint8Array>,
  put: (order: InstallJob | Fault) => void,
  hasRoom: () => boolean,
): Promise<void> {
  const splitter = lineSplitter(INSTALL_LINE_BYTES_MAX);
  try {
    for await (const chunk of input)
      for (const line of splitter.push(chunk)) {
        if (!hasRoom()) throw new Fault("protocol.rate-limited", `more than ${ORDERS_WAITING_MAX} orders wait`);
        put(check(installJobSchema, parseJson(line, INSTALL_LINE_BYTES_MAX, "order"), "order", "protocol.invalid"));
      }
  } catch (error) {
    put(error instanceof Fault ? error : new Fault("protocol.closed", "read orders: the pipe broke", { cause: error }));
  }
}
