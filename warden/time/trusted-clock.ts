// The trusted clock: who may set it, from what, and how far it can be trusted. [ID-10]
import { Fault } from "../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { DurableFiles, SettableClock } from "../../hal/ports.ts";
import type { HubTimeResponse } from "../../ota/format/time.ts";
import * as v from "valibot";
import type { Verifier } from "../audit/format/index.ts";
import type { ClockState } from "./format.ts";
import { type ClockBounds, clockState } from "./bounds.ts";
import { createTimeNonces } from "./nonces.ts";
import { verifiedTime } from "./verify.ts";

/**
 * Names the boot in which the clock was set. The time itself is not stored, because it would be old
 * when read. [ID-22]
 */
const SYNC_FILE = "clock.json";
const SYNC_BYTES_MAX = 256;
const syncSchema = v.strictObject({ v: v.literal(1), bootId: v.pipe(v.string(), v.maxLength(36)) });

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
   * @returns how far the clock stepped, in milliseconds, forward positive; and the fault that keeps
   *   the setting from being remembered across a restart of the warden, if any.
   * @throws Fault `time.nonce-unknown`, `time.bad-signature`, `time.out-of-range`,
   *   `clock.set-failed`; then the clock is unchanged.
   */
  set(response: HubTimeResponse): Promise<{ readonly stepMs: number; readonly forgetful: Fault | undefined }>;
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
 * @throws Fault of the files when the remembered boot cannot be read. A malformed one counts as
 *   none.
 */
export async function openTrustedClock(options: TrustedClockOptions): Promise<TrustedClock> {
  const { clock, deviceId, timeKey, bootId, state } = options;
  let { bounds } = options;
  const nonces = createTimeNonces();
  let synced = (await rememberedBoot(state)) === bootId;
  return {
    state: () => clockState(clock.nowMs(), bounds, synced),
    isSynced: () => clockState(clock.nowMs(), bounds, synced).state === "synced",
    raiseFloor: (unixMs) => {
      if (unixMs > bounds.floorMs && unixMs <= bounds.ceilingMs) bounds = { ...bounds, floorMs: unixMs };
    },
    nonce: () => nonces.issue(clock.monotonicMs()),
    async set(response) {
      if (!nonces.consume(response.nonce, clock.monotonicMs()))
        throw new Fault(
          "time.nonce-unknown",
          "hub time refused: its nonce was not issued here, was used, or is older than 60 s; ask for a new one",
        );
      const unixMs = verifiedTime(response, deviceId, timeKey, bounds);
      const stepMs = unixMs - clock.nowMs();
      await clock.set(unixMs);
      synced = true;
      return { stepMs: Math.round(stepMs), forgetful: await remember(state, bootId) };
    },
  };
}

/**
 * @returns the fault instead of throwing it: the clock is set by now, and a full disk does not
 *   unset it.
 */
async function remember(state: DurableFiles | undefined, bootId: string): Promise<Fault | undefined> {
  try {
    await state?.put(SYNC_FILE, Buffer.from(canonicalJson({ v: 1, bootId })));
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

async function rememberedBoot(state: DurableFiles | undefined): Promise<string | undefined> {
  const bytes = await state?.get(SYNC_FILE, SYNC_BYTES_MAX);
  if (bytes === undefined) return undefined;
  try {
    return check(syncSchema, parseCanonicalJson(bytes, SYNC_BYTES_MAX, "clock record"), "clock record").bootId;
  } catch (error) {
    // the cost is only a state "unverified", and the next hub time writes it anew
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
