// Few numbers in, few out: medians, because a machine that does other things as well spoils means.
import { assert } from "../../hal/fault.ts";

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

/** @throws Fault `assert.broken` without a single number. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [upper, lower] = [sorted[Math.floor(sorted.length / 2)], sorted[Math.floor((sorted.length - 1) / 2)]];
  const [min, max] = [sorted[0], sorted.at(-1)];
  assert(upper !== undefined && lower !== undefined && min !== undefined && max !== undefined, "something was measured");
  return { median: (upper + lower) / 2, min, max, samples: sorted.length };
}

/** Ours over theirs, round by round: what slows the machine down slows both of a pair. */
export function ratios(ours: readonly number[], theirs: readonly number[]): Spread {
  return spreadOf(ours.flatMap((value, round) => (theirs[round] === undefined ? [] : [value / theirs[round]])));
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Least squares: how much y grows for one more x. @throws Fault `assert.broken` for fewer than two places on x. */
export function slopeOf(points: readonly Point[]): number {
  const mean = (pick: (point: Point) => number): number => points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
  assert(spread > 0, "a slope needs two places");
  return points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread;
}
