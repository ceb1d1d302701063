// The serial console for ever: opens the port, serves who comes, and opens it again. [CON-2]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, SerialConnection, SerialPort } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { Operations } from "../operations/index.ts";
import { createTimedReader } from "./timed-reader.ts";
import { createLoginThrottle, type LoginThrottle } from "./login-throttle.ts";
import { REOPEN_DELAY_MS_MAX, REOPEN_DELAY_MS_MIN, STABLE_MS } from "./limits.ts";
import type { OrderPorts } from "./challenge.ts";
import { hintText, type Host } from "./screen.ts";
import { serveSession } from "./session.ts";

export interface ConsoleOptions {
  readonly port: SerialPort;
  readonly operations: Operations;
  /** The warden's judge of orders, for the login. [CON-4] */
  readonly orders: OrderPorts;
  readonly audit: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly host: () => Host;
}

export interface Console {
  /** What does not work of the console, for the status: a port that does not open, a trail that takes no records. */
  troubles(): readonly FaultReport[];
  /** Closes the line and resolves when nothing of the console runs any more. Rejects if it had ended by a defect of ours. */
  stop(): Promise<void>;
}

/** Starts at once, in the background. A defect of ours is an unhandled rejection, unless `stop` was called: never a console that is silently gone. */
export function startConsole(parts: ConsoleOptions): Console {
  const stopped = new AbortController();
  const troubles = new Map<"port" | "audit", Fault>();
  const ended = keepOpen(parts, troubles, stopped.signal);
  return {
    troubles: () => [...troubles.values()].map(({ code, message }) => ({ code, message: `console: ${message}` })),
    async stop() {
      stopped.abort();
      await ended;
    },
  };
}

/** [CON-2] The wait before the next opening: doubled each time, small again after a connection that held. */
export function reopenDelayMs(previousMs: number, heldMs: number): number {
  return heldMs >= STABLE_MS ? REOPEN_DELAY_MS_MIN : Math.min(previousMs * 2, REOPEN_DELAY_MS_MAX);
}

async function keepOpen(parts: ConsoleOptions, troubles: Map<"port" | "audit", Fault>, stopped: AbortSignal): Promise<void> {
  const { port, clock } = parts;
  const gate = createLoginThrottle(clock); // one for all sessions: it outlives them [CON-5]
  let delayMs = REOPEN_DELAY_MS_MIN / 2;
  while (!stopped.aborted) {
    const openedMs = clock.monotonicMs();
    try {
      const connection = await port.open();
      troubles.delete("port");
      await serveConnection(parts, gate, connection, troubles, stopped);
    } catch (error) {
      if (!(error instanceof Fault) || (error.code !== "serial.open-failed" && error.code !== "serial.closed")) throw error;
      if (error.code === "serial.open-failed") troubles.set("port", error);
    }
    delayMs = reopenDelayMs(delayMs, clock.monotonicMs() - openedMs);
    await clock.sleep(delayMs, stopped);
  }
}

/** Nobody is there before the first key: no session, no record, however often a loose cable hangs up. */
async function serveConnection(
  { operations, orders, audit, clock, host }: ConsoleOptions,
  gate: LoginThrottle,
  connection: SerialConnection,
  troubles: Map<"port" | "audit", Fault>,
  stopped: AbortSignal,
): Promise<void> {
  const chunks = createTimedReader(connection.input, clock);
  const print = (text: string): Promise<void> => connection.write(Buffer.from(text.replaceAll("\n", "\r\n")));
  const record = async (entry: AuditEntry): Promise<void> => {
    try {
      await audit(entry);
      troubles.delete("audit");
    } catch (error) {
      troubles.set("audit", asFault(error, "audit.write-failed", "record the console session"));
    }
  };
  let closing: Promise<void> | undefined;
  const close = (): void => {
    closing ??= connection.close();
    closing.catch(() => undefined); // awaited, and its fault heard, below
  };
  stopped.addEventListener("abort", close, { once: true });
  try {
    if (stopped.aborted) return;
    await print(hintText(host()));
    for (let chunk = await chunks.next(); chunk.kind === "bytes"; chunk = await chunks.next()) {
      const end = await serveSession({ chunks, print, operations, orders, gate, record, clock, host }, chunk.bytes);
      if (end === "hang-up") return;
    }
  } finally {
    stopped.removeEventListener("abort", close);
    await (closing ?? connection.close());
  }
}
