// The guard of the device's TPM: it looks at the start, and goes on looking until the device's own
// TPM is there. The warden sees for itself, because a captured agent would say that all is well.
// [ID-70] [ID-71] [ID-72]
import type { ChipReader, ChipReading } from "../../hal/chip.ts";
import { asFault, Fault, type FaultCode } from "../../hal/fault.ts";
import type { BirthRecord } from "../../hal/format/identity.ts";
import { clip } from "../../hal/format/text.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { type AuditRecorder, createRateLimitedRecorder } from "../audit/index.ts";
import { type ChipVerdict, judgeChip } from "./judge.ts";
import {
  DRIVERS_COME_MS_MAX,
  FIRST_LOOK_MS_MAX,
  LOOK_AGAIN_MS,
  LOOK_MS,
  LOOK_MS_MIN,
  RECORDS_BURST_MAX,
  RECORDS_PERIOD_MS,
} from "./limits.ts";

/** UTF-16 code units of a reason in an audit record. */
const WHY_CHARACTERS_MAX = 512;

export interface ChipGuardPorts {
  /** Undefined where the configuration names no TPM: then nobody is asked for one. */
  readonly chip: ChipReader | undefined;
  readonly birth: () => Promise<BirthRecord | undefined>;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  /** Records in the audit trail. Never throws. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  /** Writes to the journal. */
  readonly report: (fault: Fault) => void;
}

export interface ChipGuard {
  /** Why the doors are shut; undefined when they are as the policy says. [ID-72] */
  held(this: void): FaultCode | undefined;
  troubles(this: void): readonly Fault[];
  /**
   * Goes on looking until the device's own TPM is there.
   * @param hold shuts the doors for a reason, or opens them again without one.
   */
  watch(this: void, hold: (reason: FaultCode | undefined) => Promise<void>): void;
  stop(this: void): Promise<void>;
}

/**
 * Resolves after the first look, or without its outcome when that takes longer than
 * {@link FIRST_LOOK_MS_MAX}. Never throws.
 */
export async function openChipGuard(ports: ChipGuardPorts): Promise<ChipGuard> {
  const guard = new BirthChipGuard(ports);
  await guard.look();
  return {
    held: () => guard.trouble?.code,
    troubles: () => (guard.trouble === undefined ? [] : [guard.trouble]),
    watch: (hold) => guard.watch(hold),
    stop: () => guard.stop(),
  };
}

interface Judged {
  readonly fault: Fault;
  /** It is not only that nothing is known yet. */
  readonly isSettled: boolean;
}

class BirthChipGuard {
  readonly #ports: ChipGuardPorts;
  readonly #ending = new AbortController();
  readonly #firstLookMs: number;
  readonly #record: AuditRecorder;
  /** A look that takes longer than one wait; there is one at a time. */
  #reading: Promise<ChipReading | Fault | undefined> | undefined;
  #trouble: Fault | undefined;
  /** The trail has that the TPM is not the device's own. */
  #isRecorded = false;
  #watching: Promise<void> = Promise.resolve();

  constructor(ports: ChipGuardPorts) {
    this.#ports = ports;
    this.#firstLookMs = ports.clock.monotonicMs();
    this.#record = createRateLimitedRecorder(ports.record, ports.clock, RECORDS_BURST_MAX, RECORDS_PERIOD_MS);
  }

  get trouble(): Fault | undefined {
    return this.#trouble;
  }

  /** Looks once. */
  async look(): Promise<void> {
    await this.#settle(this.#judged(await this.#verdict()));
  }

  watch(hold: (reason: FaultCode | undefined) => Promise<void>): void {
    this.#watching = this.#watch(hold);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#watching;
  }

  async #watch(hold: (reason: FaultCode | undefined) => Promise<void>): Promise<void> {
    const { clock, report } = this.#ports;
    const { signal } = this.#ending;
    while (this.#trouble !== undefined && !signal.aborted) {
      await clock.sleep(this.#isRecorded ? LOOK_AGAIN_MS : LOOK_MS, signal);
      if (signal.aborted) return;
      const before: FaultCode | undefined = this.#trouble?.code;
      await this.look();
      const after: FaultCode | undefined = this.#trouble?.code;
      if (after === before) continue;
      await hold(after).catch((error: unknown) => report(asFault(error, "assert.broken", "shut or open the doors")));
    }
  }

  async #verdict(): Promise<ChipVerdict> {
    const { chip, birth } = this.#ports;
    if (chip === undefined) return { is: "free" };
    const { place } = chip;
    // a record that cannot be read is a trouble of its own, and names no chip
    const record = await birth().catch(() => undefined);
    const early = judgeChip(record, undefined, place);
    return early.is === "free" ? early : judgeChip(record, await this.#read(chip), place);
  }

  /** @returns a fault while the chip does not answer; the next look waits for the same answer. */
  async #read(chip: ChipReader): Promise<ChipReading | Fault | undefined> {
    this.#reading ??= chip
      .read()
      .catch((error: unknown) => asFault(error, "tpm.unreachable", "read which TPM this is"))
      .finally(() => (this.#reading = undefined));
    const waiting = new AbortController();
    const late = this.#ports.clock
      .sleep(FIRST_LOOK_MS_MAX, waiting.signal)
      .then(() => new Fault("tpm.timeout", `it has not said which one it is for ${FIRST_LOOK_MS_MAX / 1000} s`));
    try {
      return await Promise.race([this.#reading, late]);
    } finally {
      waiting.abort();
    }
  }

  /** [ID-71] What is not known is not absent, and what is absent may come with its driver. */
  #judged(verdict: ChipVerdict): Judged | undefined {
    if (verdict.is === "free" || verdict.is === "own") return undefined;
    if (verdict.is === "gone" || !this.#isEarly()) return { fault: verdict.fault, isSettled: true };
    return {
      fault: new Fault("key.tpm-unavailable", `not known yet whether the device's TPM is here: ${verdict.fault.message}`),
      isSettled: false,
    };
  }

  #isEarly(): boolean {
    const nowMs = this.#ports.clock.monotonicMs();
    return nowMs < DRIVERS_COME_MS_MAX || nowMs - this.#firstLookMs < LOOK_MS_MIN;
  }

  /** [ID-73] Each change is recorded once. */
  async #settle(judged: Judged | undefined): Promise<void> {
    const { report } = this.#ports;
    const before = this.#trouble;
    this.#trouble = judged?.fault;
    if (judged === undefined) {
      if (this.#isRecorded) await this.#record({ event: "chip.found", result: "ok" });
      this.#isRecorded = false;
      return;
    }
    const { fault, isSettled } = judged;
    if (before?.message === fault.message && this.#isRecorded === isSettled) return;
    report(fault);
    if (!isSettled || (this.#isRecorded && before?.code === fault.code)) return;
    this.#isRecorded = true;
    const detail = { code: fault.code, why: clip(fault.message, WHY_CHARACTERS_MAX) };
    await this.#record({ event: "chip.lost", result: "failed", detail });
  }
}
