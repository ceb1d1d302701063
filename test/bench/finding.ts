// A finding: our numbers, those of a named peer in the same run, and the budget where there is one.
import { ratios, type Spread, spreadOf } from "./stats.ts";

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
  /** Whether every round says so. If not, the spread is larger than the distance to the bound. */
  readonly everyRound: boolean | undefined;
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
  const ratio = peer === undefined || unit === "bytes/message" ? undefined : ratios(ours, peer.values);
  const judged = target?.of === "ratio" ? ratio : mine;
  const met = target === undefined || judged === undefined ? undefined : holds(target, judged.median);
  const everyRound =
    target === undefined || judged === undefined
      ? undefined
      : [judged.min, judged.max].every((value) => holds(target, value) === met);
  return {
    what,
    unit,
    ours: mine,
    peer: peer === undefined ? undefined : { ...spreadOf(peer.values), name: peer.name },
    ratio,
    target,
    met,
    everyRound,
    why: met === false ? whyMissed : undefined,
  };
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
