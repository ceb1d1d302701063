// The load of the machine beside a measure. A ratio of two programs that take turns survives other
// work, but its spread grows, and a reader should know.
import { loadavg } from "node:os";

export interface Load {
  /** Mean number of processes that wanted to run, over the minute before. */
  readonly before: number;
  /** The same at the end, with the measure's own processes. */
  readonly after: number;
  readonly processors: number;
}

export function loadNow(): number {
  return loadavg()[0] ?? 0;
}

/** Above this share of the processors, other work was going on when the measure began. */
const BUSY_SHARE = 0.5;

export function spokenLoad({ before, after, processors }: Load): string {
  const busy = before > processors * BUSY_SHARE ? "; BUSY with other work" : "";
  return `(load ${before.toFixed(1)} before, ${after.toFixed(1)} after, of ${processors} processors${busy})`;
}
