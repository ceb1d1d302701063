// Notes about what a captured agent can cause as often as it likes: some at once, then one now and then, and the number of those left out. [AUD-11]
import { tokenBucket } from "../../hal/pace/index.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "./format/index.ts";

export type Note = (entry: AuditEntry) => Promise<void>;

/** @returns a `note` that takes `burstMax` entries at once and one more every `periodMs`; the next one it takes says in `suppressed` how many it did not. */
export function sparing(note: Note, clock: Pick<Clock, "monotonicMs" | "sleep">, burstMax: number, periodMs: number): Note {
  const bucket = tokenBucket(clock, burstMax, periodMs);
  let suppressed = 0;
  return async (entry) => {
    if (!bucket.take()) {
      suppressed += 1;
      return;
    }
    const counted = suppressed === 0 ? {} : { suppressed };
    suppressed = 0;
    await note({ ...entry, detail: { ...entry.detail, ...counted } });
  };
}
