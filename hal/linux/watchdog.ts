// The heartbeat to systemd's watchdog, sd_watchdog_enabled(3). Node has no datagram sockets, so it
// goes through systemd-notify(1).
import { asFault } from "../fault.ts";
import { runProgram } from "./process/index.ts";

/** It takes a few milliseconds and waits until systemd has taken the message. */
const NOTIFY_MS_MAX = 10_000;
/** sd_watchdog_enabled(3) recommends half of the interval. With a quarter, two may get lost. */
const BEATS_PER_INTERVAL = 4;

/**
 * @param log gets one line when the heartbeat cannot be sent, and no more until it works again.
 * @param env where systemd says whether it watches: NOTIFY_SOCKET and WATCHDOG_USEC.
 * @returns a function to call again and again while the program does its work. It sends no more
 *   often than needed, does nothing where no watchdog runs, and never throws.
 */
export function linuxWatchdog(log: (line: string) => void, env: NodeJS.ProcessEnv = process.env): () => void {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec = "" } = env;
  const intervalMs = /^[1-9]\d{0,15}$/u.test(usec) ? Number(usec) / 1000 : undefined;
  if (socket === undefined || intervalMs === undefined) return () => undefined;
  return new Heartbeat(socket, intervalMs / BEATS_PER_INTERVAL, log).beat;
}

class Heartbeat {
  readonly #socket: string;
  readonly #periodMs: number;
  readonly #log: (line: string) => void;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #isSending = false;
  #hasFailed = false;

  constructor(socket: string, periodMs: number, log: (line: string) => void) {
    this.#socket = socket;
    this.#periodMs = periodMs;
    this.#log = log;
  }

  readonly beat = (): void => {
    if (this.#isSending || performance.now() - this.#sentAtMs < this.#periodMs) return;
    this.#sentAtMs = performance.now();
    void this.#send();
  };

  async #send(): Promise<void> {
    this.#isSending = true;
    try {
      // without --no-block: it ends only when systemd has read the message, and until then systemd
      // can tell from which unit it comes, systemd-notify(1)
      await runProgram("systemd-notify", ["WATCHDOG=1"], {
        timeoutMs: NOTIFY_MS_MAX,
        outputBytesMax: 4096,
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", NOTIFY_SOCKET: this.#socket },
      });
      this.#hasFailed = false;
    } catch (error) {
      const { code, message } = asFault(error, "process.failed", "run systemd-notify");
      if (!this.#hasFailed) this.#log(`trouble: ${code}: send the watchdog's heartbeat: ${message}`);
      this.#hasFailed = true;
    } finally {
      this.#isSending = false;
    }
  }
}
