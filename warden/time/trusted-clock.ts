// The trusted clock: who may set it, from what, and how far it can be trusted. [ID-10]
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { DurableFiles, SettableClock } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import type { HubTimeResponse } from "../../ota/format/time.ts";
import * as v from "valibot";
import type { Verifier } from "../audit/format/index.ts";
import { CLOCK_STEP_MS_MIN, type ClockState } from "./format.ts";
import { type ClockBounds, clockState } from "./bounds.ts";
import { createTimeNonces } from "./nonces.ts";
import { verifiedTime } from "./verify.ts";

/**
 * Names the boot in which the clock was set, and how far the clock was from the monotonic one then.
 * The time itself is not stored, because it would be old when read. [ID-22] [TUN-70]
 */
const SYNC_FILE = "clock.json";
const syncSchema = v.strictObject({
  v: v.picklist([1, 2]),
  bootId: v.pipe(v.string(), v.maxLength(36)),
  /** Wall clock less monotonic clock, milliseconds. Absent in format 1. */
  offsetMs: v.optional(v.pipe(v.number(), v.safeInteger())),
});
const SYNC_RECORD: RecordFormat<v.InferOutput<typeof syncSchema>> = {
  what: "the clock record",
  version: 2,
  readable: 1,
  bytesMax: 256,
  schema: syncSchema,
  replaceable: true,
};

/**
 * Hub time is taken at most once in this time: each answer costs a signature check, a change of the
 * clock and a durable write, and a captured agent can have the hub sign as many as it likes.
 * [ID-12]
 */
export const HUB_TIME_PERIOD_MS = 10_000;
/** Smaller steps are how any clock runs: they are made, and not recorded each. */
export const STEP_RECORDED_MS_MIN = 2_000;

export interface TrustedClock {
  state(): ClockState;
  /** Read for every audit record. */
  isSynced(): boolean;
  nonce(): string;
  /**
   * [OTA-13] Signatures of offline keys prove that it is at least this late. The floor never falls,
   * and never rises above the ceiling.
   */
  raiseFloor(unixMs: number): void;
  /**
   * Verifies the answer and sets the clock, forward or back. The answer may be as old as the
   * nonce's life: a captured agent can hold it back for that long, but no longer.
   * @returns how far the clock stepped, in milliseconds, forward positive; whether that matters to
   *   an auditor; and the fault that keeps the setting from being remembered across a restart of
   *   the warden, if any.
   * @throws Fault `protocol.rate-limited` within {@link HUB_TIME_PERIOD_MS} of the last setting,
   *   before the nonce is spent or a signature is checked; `time.nonce-unknown`,
   *   `time.bad-signature`, `time.out-of-range`, `clock.set-failed`; then the clock is unchanged.
   */
  set(response: HubTimeResponse): Promise<ClockSetting>;
}

export interface ClockSetting {
  readonly stepMs: number;
  /**
   * The first setting since the start of this program, one that changed how far the clock can be
   * trusted, or steps that add up to {@link STEP_RECORDED_MS_MIN} since the last noteworthy one.
   */
  readonly noteworthy: boolean;
  readonly forgetful: Fault | undefined;
}

export interface TrustedClockOptions {
  readonly clock: SettableClock;
  readonly bounds: ClockBounds;
  readonly deviceId: DeviceId;
  readonly timeKey: Verifier | undefined;
  readonly bootId: string;
  /**
   * Where the boot is remembered; undefined when the setting ends with this process (a simulated
   * board).
   */
  readonly state: DurableFiles | undefined;
}

/**
 * A remembered boot that cannot be read counts as none. Never throws for it.
 */
export async function openTrustedClock(options: TrustedClockOptions): Promise<TrustedClock> {
  const { clock, deviceId, timeKey, bootId, state } = options;
  let { bounds } = options;
  const nonces = createTimeNonces();
  const offsetMs = (): number => Math.round(clock.nowMs() - clock.monotonicMs());
  /** [TUN-70] Where the hub has put the clock in this boot; undefined while it has not. */
  let syncedMs = await rememberedOffset(state, bootId);
  const current = (): ClockState =>
    clockState(clock.nowMs(), bounds, syncedMs !== undefined && Math.abs(offsetMs() - syncedMs) <= CLOCK_STEP_MS_MIN);
  let takenAtMs = Number.NEGATIVE_INFINITY;
  /** Undefined until the first setting. */
  let unrecordedMs: number | undefined;
  return {
    state: current,
    isSynced: () => current().state === "synced",
    raiseFloor: (unixMs) => {
      if (unixMs > bounds.floorMs && unixMs <= bounds.ceilingMs) bounds = { ...bounds, floorMs: unixMs };
    },
    nonce: () => nonces.issue(clock.monotonicMs()),
    async set(response) {
      const waitMs = takenAtMs + HUB_TIME_PERIOD_MS - clock.monotonicMs();
      if (waitMs > 0)
        throw new Fault("protocol.rate-limited", `hub time was taken a moment ago; try again in ${Math.ceil(waitMs)} ms`);
      if (!nonces.consume(response.nonce, clock.monotonicMs()))
        throw new Fault(
          "time.nonce-unknown",
          "hub time refused: its nonce was not issued here, was used, or is older than 60 s; ask for a new one",
        );
      const unixMs = verifiedTime(response, deviceId, timeKey, bounds);
      const before = current().state;
      const stepMs = unixMs - clock.nowMs();
      // before anything is awaited: of two answers at once, one is taken
      takenAtMs = clock.monotonicMs();
      await clock.set(unixMs);
      syncedMs = offsetMs();
      const movedMs = (unrecordedMs ?? 0) + stepMs;
      const noteworthy = unrecordedMs === undefined || before !== "synced" || Math.abs(movedMs) >= STEP_RECORDED_MS_MIN;
      unrecordedMs = noteworthy ? 0 : movedMs;
      return { stepMs: Math.round(stepMs), noteworthy, forgetful: await remember(state, bootId, syncedMs) };
    },
  };
}

/**
 * @returns the fault instead of throwing it: the clock is set by now, and a full disk does not
 *   unset it.
 */
async function remember(state: DurableFiles | undefined, bootId: string, offsetMs: number): Promise<Fault | undefined> {
  try {
    if (state !== undefined) await writeRecord(state, SYNC_FILE, SYNC_RECORD, { v: 2, bootId, offsetMs });
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** A record without it is of a program that did not know [TUN-70]: the hub is asked again. */
async function rememberedOffset(state: DurableFiles | undefined, bootId: string): Promise<number | undefined> {
  if (state === undefined) return undefined;
  try {
    const record = await readRecord(state, SYNC_FILE, SYNC_RECORD);
    return record?.bootId === bootId ? record.offsetMs : undefined;
  } catch (error) {
    // the cost is only a state "unverified", and the next hub time writes it anew
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
