// Statistics over few samples: medians, because other work on the machine distorts means.
import { assert } from "../../hal/fault.ts";

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

/** @throws Fault `assert.broken` without any number. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [upper, lower] = [sorted[Math.floor(sorted.length / 2)], sorted[Math.floor((sorted.length - 1) / 2)]];
  const [min, max] = [sorted[0], sorted.at(-1)];
  assert(upper !== undefined && lower !== undefined && min !== undefined && max !== undefined, "something was measured");
  return { median: (upper + lower) / 2, min, max, samples: sorted.length };
}

/**
 * Our number divided by the peer's, round by round: a slow moment of the machine affects both of a
 * pair.
 */
export function ratios(ours: readonly number[], theirs: readonly number[]): Spread {
  return spreadOf(ours.flatMap((value, round) => (theirs[round] === undefined ? [] : [value / theirs[round]])));
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The slope by least squares. @throws Fault `assert.broken` for fewer than two different x. */
export function slopeOf(points: readonly Point[]): number {
  const mean = (pick: (point: Point) => number): number => points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
  assert(spread > 0, "a slope needs two places");
  return points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread;
}
