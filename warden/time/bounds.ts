// What times this device can be in. Pure. [ID-10]
import type { ClockState } from "./format.ts";

/**
 * The clock is never believed below the day this program was built. An image gives its own date in the
 * configuration; this is the least that any image has.
 */
export const BUILD_DATE_MS_MIN = Date.UTC(2026, 0, 1);
/** A clock further than this from the build date is broken, not late: the design's 15 years. [ID-10] */
const CLOCK_LIFE_YEARS = 15;

export interface ClockBounds {
  /** Unix milliseconds, included. */
  readonly floorMs: number;
  readonly ceilingMs: number;
}

/** @param buildDateMs the floor rises with signed dates from offline keys only, never from the clock itself; until the first of them it is the build date. */
export function clockBounds(buildDateMs: number): ClockBounds {
  const ceiling = new Date(buildDateMs);
  ceiling.setUTCFullYear(ceiling.getUTCFullYear() + CLOCK_LIFE_YEARS);
  return { floorMs: buildDateMs, ceilingMs: ceiling.getTime() };
}

/** False for NaN too: a date that is none is out of every bound. */
export function isPlausible(unixMs: number, bounds: ClockBounds): boolean {
  return unixMs >= bounds.floorMs && unixMs <= bounds.ceilingMs;
}

/** How far the clock can be trusted. A clock that was set and has left its bounds since counts as unset again. */
export function clockState(nowMs: number, bounds: ClockBounds, synced: boolean): ClockState {
  const state = !isPlausible(nowMs, bounds) ? "unset" : synced ? "synced" : "unverified";
  return { state, nowMs, floorMs: bounds.floorMs };
}
