// What a measurement says: our numbers, a named peer's from the same run, and the target of the design (section 8) where there is one.
import { ratios, type Spread, spreadOf } from "./stats.ts";

export type Unit = "bytes" | "s" | "of 10" | "ms" | "us" | "/s" | "MiB/s" | "bytes/message";

export interface Target {
  /** What is held against the bound: the ratio to the peer, or our own number where a bound in absolute terms makes sense on every machine. */
  readonly of: "ratio" | "ours";
  readonly bound: number;
  readonly is: "at most" | "at least" | "below";
}

export interface Finding {
  readonly what: string;
  readonly unit: Unit;
  readonly ours: Spread;
  readonly peer: (Spread & { readonly name: string }) | undefined;
  /** Ours over the peer's, of rounds that ran side by side. */
  readonly ratio: Spread | undefined;
  readonly target: Target | undefined;
  /** Undefined where there is no target. */
  readonly met: boolean | undefined;
  /** Why it was missed, as far as that is known. */
  readonly why: string | undefined;
}

export interface Compared {
  readonly what: string;
  readonly unit: Unit;
  readonly ours: readonly number[];
  readonly peer?: { readonly name: string; readonly values: readonly number[] };
  readonly target?: Target;
  /** The known reason, told only when the target is missed. */
  readonly whyMissed?: string;
}

export function finding({ what, unit, ours, peer, target, whyMissed }: Compared): Finding {
  const mine = spreadOf(ours);
  // what hovers around nothing has no ratio
  const ratio = peer === undefined || unit === "bytes/message" ? undefined : ratios(ours, peer.values);
  const judged = target?.of === "ratio" ? ratio?.median : mine.median;
  const met = target === undefined || judged === undefined ? undefined : holds(target, judged);
  return {
    what,
    unit,
    ours: mine,
    peer: peer === undefined ? undefined : { ...spreadOf(peer.values), name: peer.name },
    ratio,
    target,
    met,
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
