// The courier of the escrow note: it takes what the warden has sealed to the hub, and the hub's
// cosignature back to the warden. [TUN-60] It is trusted with nothing: the note is sealed for the
// owner and signed by the warden, and the warden verifies the answer.
import { asFault, Fault } from "../hal/fault.ts";
import type { Clock } from "../hal/ports.ts";
import type { EscrowState } from "../warden/escrow/format/index.ts";
import type { EscrowReport } from "./tunnel/format.ts";

/** While connected, how often to ask the warden whether there is another note. */
export const LOOK_MS = 60_000;
/** How long the hub may take to answer before the note is sent again. */
export const ANSWER_WAIT_MS_MAX = 30_000;
/**
 * The wait after a failure, doubled from the first to the second. A hub that does not know the
 * audit key yet drops the note, and answers once an operator has accepted it.
 */
export const RETRY_MS_MIN = 10_000;
export const RETRY_MS_MAX = 3_600_000;

/** The wait for a tunnel that does not take deliveries yet. */
export const CLOSED_RETRY_MS = 1000;

export interface EscrowCourierPorts {
  /** What the warden has for the hub. */
  readonly held: () => Promise<EscrowState>;
  /** Gives the warden the hub's cosigned note. @throws Fault when it is not that of the note. */
  readonly confirm: (note: string) => Promise<unknown>;
  /** Publishes the note. Resolves when the broker has it. */
  readonly deliver: (body: EscrowReport) => Promise<void>;
  readonly clock: Pick<Clock, "sleep">;
  /** In [0, 1). Spreads the retries of a fleet. */
  readonly random: () => number;
}

export interface EscrowCourier {
  connected(): void;
  disconnected(): void;
  /** Takes the hub's cosigned note. */
  answer(note: string): void;
  /** Why the hub is not known to have the note, until it is; for the status. */
  trouble(): Fault | undefined;
  stop(): Promise<void>;
}

export function createEscrowCourier(ports: EscrowCourierPorts): EscrowCourier {
  return new NoteCourier(ports);
}

class NoteCourier implements EscrowCourier {
  readonly #ports: EscrowCourierPorts;
  #ended = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** The note that the hub has answered in this life of the agent. */
  #answered: string | undefined;
  #onAnswer: ((note: string) => void) | undefined;
  #failures = 0;
  #fault: Fault | undefined;

  constructor(ports: EscrowCourierPorts) {
    this.#ports = ports;
  }

  connected(): void {
    const before = this.stop();
    const ended = new AbortController();
    this.#ended = ended;
    this.#running = before.then(() => this.#run(ended.signal));
  }

  disconnected(): void {
    void this.stop();
  }

  answer(note: string): void {
    this.#onAnswer?.(note);
  }

  trouble(): Fault | undefined {
    return this.#fault;
  }

  stop(): Promise<void> {
    this.#ended.abort();
    return this.#running;
  }

  /** Never rejects: a failure is followed by a wait. */
  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#ports;
    while (!signal.aborted) {
      try {
        await this.#deliverOnce(signal);
        this.#failures = 0;
        this.#fault = undefined;
        await clock.sleep(LOOK_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        const fault = asFault(error, "tunnel.closed", "escrow the passwords of the TPM");
        await clock.sleep(this.#waitMsAfter(fault) * (0.5 + random() / 2), signal);
      }
    }
  }

  #waitMsAfter(fault: Fault): number {
    // A tunnel that is just up may not take deliveries yet. Its own status says so.
    if (fault.code === "tunnel.closed") return CLOSED_RETRY_MS;
    this.#fault = fault;
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    return waitMs;
  }

  /** @throws Fault of the warden or the tunnel; `tunnel.timeout` when the hub does not answer. */
  async #deliverOnce(signal: AbortSignal): Promise<void> {
    const { confirm } = this.#ports;
    const held = await this.#ports.held();
    if (held.state === "none" || (held.escrowed && held.note === this.#answered)) return;
    await confirm(await this.#ask(held.note, signal));
    this.#answered = held.note;
  }

  async #ask(note: string, signal: AbortSignal): Promise<string> {
    const { deliver, clock } = this.#ports;
    if (signal.aborted) throw new Fault("tunnel.closed", "escrow the passwords of the TPM: the connection has ended");
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const settled = new AbortController();
    this.#onAnswer = resolve;
    signal.addEventListener("abort", () => resolve(undefined), { signal: settled.signal });
    try {
      await deliver({ kind: "tpm.escrow", note });
      void clock.sleep(ANSWER_WAIT_MS_MAX, settled.signal).then(() => resolve(undefined));
      const cosigned = await promise;
      if (cosigned !== undefined) return cosigned;
      throw new Fault(
        "tunnel.timeout",
        "the hub has not confirmed that it keeps the passwords of the TPM; if it does not know this device's audit key, run sallyport-hub devices approve --changed there",
      );
    } finally {
      this.#onAnswer = undefined;
      settled.abort();
    }
  }
}
