// The warden's clock: who may set it, from what, and how far it is to be trusted. [ID-10]
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

/** In which boot the clock was set: never the time itself, which would only be old when read. [ID-10] */
const SYNC_FILE = "clock.json";
const SYNC_BYTES_MAX = 256;
const syncSchema = v.strictObject({ v: v.literal(1), bootId: v.pipe(v.string(), v.maxLength(36)) });

export interface TrustedClock {
  state(): ClockState;
  /** Asked with every audit record. */
  isSynced(): boolean;
  nonce(): string;
  /** [OTA-13] Signatures of offline keys prove that it is at least this late. Never goes back, nor above the ceiling. */
  raiseFloor(unixMs: number): void;
  /**
   * Verifies and sets, either way. The answer may be up to the nonce's life old: a captured courier can hold it back, but no longer.
   * @returns how far the clock stepped, milliseconds, forward positive; and why it will not be remembered after a restart of the warden, when it will not.
   * @throws Fault `time.nonce-unknown`, `time.bad-signature`, `time.out-of-range`, `clock.set-failed`; then the clock stands as it was.
   */
  set(response: HubTimeResponse): Promise<{ readonly stepMs: number; readonly forgetful: Fault | undefined }>;
}

export interface TrustedClockOptions {
  readonly clock: SettableClock;
  readonly bounds: ClockBounds;
  readonly deviceId: DeviceId;
  readonly timeKey: Verifier | undefined;
  readonly bootId: string;
  /** Where to remember the boot; undefined when what was set ends with this process (a simulated board). */
  readonly state: DurableFiles | undefined;
}

/** @throws Fault of the files when the remembered boot can't be read; a remembered boot of another form counts as none. */
export async function openTrustedClock(options: TrustedClockOptions): Promise<TrustedClock> {
  const { clock, deviceId, timeKey, bootId, state } = options;
  let { bounds } = options;
  const issued = createTimeNonces();
  let synced = (await rememberedBoot(state)) === bootId;
  return {
    state: () => clockState(clock.nowMs(), bounds, synced),
    isSynced: () => clockState(clock.nowMs(), bounds, synced).state === "synced",
    raiseFloor: (unixMs) => {
      if (unixMs > bounds.floorMs && unixMs <= bounds.ceilingMs) bounds = { ...bounds, floorMs: unixMs };
    },
    nonce: () => issued.issue(clock.monotonicMs()),
    async set(response) {
      if (!issued.consume(response.nonce, clock.monotonicMs()))
        throw new Fault(
          "time.nonce-unknown",
          "hub time refused: its nonce was not issued, was used, or is older than 60 s; ask for a new one",
        );
      const unixMs = verifiedTime(response, deviceId, timeKey, bounds);
      const stepMs = unixMs - clock.nowMs();
      await clock.set(unixMs);
      synced = true;
      return { stepMs: Math.round(stepMs), forgetful: await remember(state, bootId) };
    },
  };
}

/** @returns the fault instead of throwing it: the clock is set by now, and a full disk does not unset it. */
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
    // Only "unverified" is lost with it, and the next hub time writes it anew.
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
