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
export function ratios(ours: readonly number[], theirs: readonly number[]): readonly number[] {
  return ours.flatMap((value, round) => (theirs[round] === undefined ? [] : [value / theirs[round]]));
}

/** Where the median of all possible rounds lies, in 95 of 100 runs. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Fewer samples say nothing about the median at 95 %. */
const INTERVAL_SAMPLES_MIN = 6;

/**
 * The 95 % confidence interval of the median by order statistics, which assumes nothing about how
 * the values are spread (W. J. Conover, Practical Nonparametric Statistics, section 3.2).
 * @returns undefined for fewer than {@link INTERVAL_SAMPLES_MIN} values.
 */
export function medianInterval(values: readonly number[]): Interval | undefined {
  if (values.length < INTERVAL_SAMPLES_MIN) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  // the most values that may lie outside at each end: P(Binomial(n, 1/2) < outside) <= 2.5 %
  let outside = 0;
  let term = 0.5 ** values.length;
  for (let below = term; below <= 0.025; below += term) {
    outside += 1;
    term *= (values.length - outside + 1) / outside;
  }
  const [low, high] = [sorted[outside - 1], sorted.at(-outside)];
  assert(low !== undefined && high !== undefined, "the interval lies within the values");
  return { low, high };
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
