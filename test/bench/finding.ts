// A finding: our numbers, those of a named peer in the same run, and the budget where there is one.
import { type Interval, medianInterval, ratios, type Spread, spreadOf } from "./stats.ts";

export type Unit = "bytes" | "s" | "of 10" | "ms" | "us" | "/s" | "MiB/s" | "bytes/message";

export interface Target {
  /**
   * What is compared with the bound: the ratio to the peer, or our own number where an absolute
   * bound makes sense on every machine.
   */
  readonly of: "ratio" | "ours";
  readonly bound: number;
  readonly is: "at most" | "at least" | "below";
}

export interface Finding {
  readonly what: string;
  readonly unit: Unit;
  readonly ours: Spread;
  readonly peer: (Spread & { readonly name: string }) | undefined;
  /** Our number divided by the peer's, over rounds that ran side by side. */
  readonly ratio: Spread | undefined;
  readonly target: Target | undefined;
  /** By the median of the rounds. Undefined without a target. */
  readonly met: boolean | undefined;
  /** The 95 % interval of the median that the target judges; undefined for too few rounds. */
  readonly interval: Interval | undefined;
  /**
   * Whether the rounds tell one side of the target from the other: the whole interval lies on one
   * side, or each of at least three rounds does. Undefined without a target, and for what was
   * measured once or twice.
   */
  readonly certain: boolean | undefined;
  /** The known reason for a target that was missed. */
  readonly why: string | undefined;
}

export interface Compared {
  readonly what: string;
  readonly unit: Unit;
  readonly ours: readonly number[];
  readonly peer?: { readonly name: string; readonly values: readonly number[] };
  readonly target?: Target;
  /** The known reason, printed only when the target is missed. */
  readonly whyMissed?: string;
}

export function finding({ what, unit, ours, peer, target, whyMissed }: Compared): Finding {
  const mine = spreadOf(ours);
  // numbers around zero have no useful ratio
  const byRound = peer === undefined || unit === "bytes/message" ? [] : ratios(ours, peer.values);
  const judged = target?.of === "ratio" ? byRound : ours;
  const met = target === undefined || judged.length === 0 ? undefined : holds(target, spreadOf(judged).median);
  return {
    what,
    unit,
    ours: mine,
    peer: peer === undefined ? undefined : { ...spreadOf(peer.values), name: peer.name },
    ratio: byRound.length === 0 ? undefined : spreadOf(byRound),
    target,
    met,
    interval: target === undefined ? undefined : medianInterval(judged),
    certain: target === undefined ? undefined : isCertain(target, judged),
    why: met === false ? whyMissed : undefined,
  };
}

const ROUNDS_MIN = 3;

function isCertain(target: Target, values: readonly number[]): boolean | undefined {
  if (values.length < ROUNDS_MIN) return undefined;
  const interval = medianInterval(values);
  const ends = interval === undefined ? values : [interval.low, interval.high];
  return ends.every((value) => holds(target, value)) || !ends.some((value) => holds(target, value));
}

function holds({ is, bound }: Target, value: number): boolean {
  switch (is) {
    case "at most":
      return value <= bound;
    case "at least":
      return value >= bound;
    case "below":
      return value < bound;
  }
}
