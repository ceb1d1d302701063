// The bounds of plausible time on this device. Pure. [ID-22]
import type { ClockState } from "./format.ts";

/**
 * The clock is never believed below the day this program was built. An image gives its own date in
 * the configuration; no image has an earlier one.
 */
export const BUILD_DATE_MS_MIN = Date.UTC(2026, 0, 1);
/**
 * A clock further than this from the build date is broken, not late: the design says 15 years.
 * [ID-22]
 */
const CLOCK_LIFE_YEARS = 15;

export interface ClockBounds {
  /** Unix milliseconds, inclusive. */
  readonly floorMs: number;
  readonly ceilingMs: number;
}

/**
 * @param buildDateMs the first floor. The floor rises only with signed dates from offline keys,
 *   never with the clock itself.
 */
export function clockBounds(buildDateMs: number): ClockBounds {
  const ceiling = new Date(buildDateMs);
  ceiling.setUTCFullYear(ceiling.getUTCFullYear() + CLOCK_LIFE_YEARS);
  return { floorMs: buildDateMs, ceilingMs: ceiling.getTime() };
}

/** False for NaN too: an invalid date is outside all bounds. */
export function isPlausible(unixMs: number, bounds: ClockBounds): boolean {
  return unixMs >= bounds.floorMs && unixMs <= bounds.ceilingMs;
}

/**
 * How far the clock can be trusted. A clock that was set and has left its bounds since counts as
 * unset.
 * @param synced the clock is where the hub has put it in this boot.
 */
export function clockState(nowMs: number, bounds: ClockBounds, synced: boolean): ClockState {
  const state = !isPlausible(nowMs, bounds) ? "unset" : synced ? "synced" : "unverified";
  return { state, nowMs, floorMs: bounds.floorMs };
}
