// The serial console: it opens the port, serves sessions, and opens the port again after every
// hang-up. [CON-2]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, DurableFiles, SerialConnection, SerialPort } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { Operations } from "../operations/index.ts";
import type { OrderPorts } from "./challenge.ts";
import { HINT_EVERY_MS, REOPEN_DELAY_MS_MAX, REOPEN_DELAY_MS_MIN, STABLE_MS } from "./limits.ts";
import { createLoginThrottle, type LoginThrottle } from "./login-throttle.ts";
import { openConsoleRecord } from "./record.ts";
import { type Alarm, createAlarm } from "./alarm.ts";
import { alarmText, hintText, type Host } from "./screen.ts";
import { serveSession } from "./session.ts";
import { createTimedReader, type TimedRead } from "./timed-reader.ts";

export interface ConsoleOptions {
  readonly port: SerialPort;
  readonly operations: Operations;
  /** The warden's verification of orders, for the login. [CON-4] */
  readonly orders: OrderPorts;
  readonly audit: (entry: AuditEntry) => Promise<void>;
  /** Holds the console's record. */
  readonly files: DurableFiles;
  /** The kernel's id of this boot; undefined when it cannot be read. */
  readonly bootId: () => Promise<string | undefined>;
  readonly clock: Clock;
  readonly host: () => Host;
}

export interface Console {
  /**
   * The console's faults for the status: a port that does not open, a trail that takes no records.
   */
  troubles(): readonly FaultReport[];
  /** [ID-73] Shows `words` to whoever is at the cable, or nothing any more. */
  alarm(words: string | undefined): void;
  /**
   * Closes the line. Resolves when the console has ended; rejects when a programming error ended
   * it.
   */
  stop(): Promise<void>;
}

type Troubles = Map<"port" | "audit" | "record", Fault>;

/**
 * Starts at once, in the background. Before `stop` is called, a programming error is an unhandled
 * rejection, so that the console never disappears silently.
 */
export function startConsole(options: ConsoleOptions): Console {
  const stopped = new AbortController();
  const troubles: Troubles = new Map();
  // a line that ended is opened again, and whoever comes to it reads the banner
  const alarm = createAlarm(() => undefined);
  const ended = keepOpen(options, { troubles, alarm }, stopped.signal);
  return {
    troubles: () => [...troubles.values()].map(({ code, message }) => ({ code, message: `console: ${message}` })),
    alarm: (words) => alarm.raise(words),
    async stop() {
      stopped.abort();
      await ended;
    },
  };
}

/**
 * [CON-2] The wait before the port is opened again, milliseconds. It doubles each time, and is
 * short again after a connection that lasted {@link STABLE_MS}.
 */
export function reopenDelayMs(previousMs: number, lastedMs: number): number {
  return lastedMs >= STABLE_MS ? REOPEN_DELAY_MS_MIN : Math.min(previousMs * 2, REOPEN_DELAY_MS_MAX);
}

interface Shown {
  readonly troubles: Troubles;
  readonly alarm: Alarm;
}

async function keepOpen(options: ConsoleOptions, shown: Shown, stopped: AbortSignal): Promise<void> {
  const { troubles } = shown;
  const { port, clock, files, bootId } = options;
  const record = await openConsoleRecord(files, { nowMs: clock.monotonicMs(), bootId: await bootId() }, (fault) =>
    fault === undefined ? troubles.delete("record") : troubles.set("record", fault),
  );
  // One throttle for all sessions: neither hanging up nor a restart of the agent resets it. [CON-5]
  const throttle = createLoginThrottle(clock, { stored: record.throttle, store: (state) => record.write(state) });
  let hintAtMs = record.hintAtMs;
  let isFirst = true;
  let delayMs = REOPEN_DELAY_MS_MIN / 2;
  do {
    const openedMs = clock.monotonicMs();
    try {
      const connection = await port.open();
      troubles.delete("port");
      const isShown = isRecent(hintAtMs, clock.monotonicMs());
      const hint = isFirst && isShown ? undefined : hintText(options.host());
      if (!isShown) await record.write({ hintAtMs: (hintAtMs = Math.floor(clock.monotonicMs())) });
      isFirst = false;
      await serveConnection(options, throttle, connection, shown, stopped, hint);
    } catch (error) {
      if (!(error instanceof Fault) || (error.code !== "serial.open-failed" && error.code !== "serial.closed")) throw error;
      if (error.code === "serial.open-failed") troubles.set("port", error);
    }
    delayMs = reopenDelayMs(delayMs, clock.monotonicMs() - openedMs);
    await clock.sleep(delayMs, stopped);
  } while (!stopped.aborted);
}

/** [CON-13] Whether the last run of the agent printed its hint a moment ago, in this boot. */
function isRecent(hintAtMs: number | undefined, nowMs: number): boolean {
  return hintAtMs !== undefined && hintAtMs <= nowMs && nowMs - hintAtMs < HINT_EVERY_MS;
}

/**
 * A session begins with the first key. A loose cable that hangs up often makes no sessions and no
 * records.
 */
async function serveConnection(
  { operations, orders, audit, clock, host }: ConsoleOptions,
  throttle: LoginThrottle,
  connection: SerialConnection,
  { troubles, alarm }: Shown,
  stopped: AbortSignal,
  hint: string | undefined,
): Promise<void> {
  const reader = createTimedReader(connection.input, clock);
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
    // The promise is awaited below, which reports its fault.
    closing.catch(() => undefined);
  };
  stopped.addEventListener("abort", close, { once: true });
  try {
    if (stopped.aborted) return;
    if (hint !== undefined) await print(hint);
    const first = (): Promise<TimedRead> =>
      alarm.during(
        () => reader.next(),
        (words) => print(alarmText(host(), words)),
      );
    for (let read = await first(); read.kind === "bytes"; read = await first()) {
      const options = { reader, print, operations, orders, throttle, record, clock, host, alarm: () => alarm.words };
      const end = await serveSession(options, read.bytes);
      if (end === "hang-up") return;
    }
  } finally {
    stopped.removeEventListener("abort", close);
    await (closing ?? connection.close());
  }
}
