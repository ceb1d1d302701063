// The audit trail of the repository: each cause is recorded once, at a bounded rate. [AUD-11]
import type { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { Clock } from "../../hal/ports.ts";
import type { Damage } from "../../ota/trust/index.ts";
import { type AuditRecorder, createRateLimitedRecorder } from "../audit/index.ts";
import type { Refused } from "./selection.ts";
import {
  CAUSE_CHARACTERS_MAX,
  CAUSES_REMEMBERED_MAX,
  FILE_NAME_CHARACTERS_MAX,
  REFRESHES_RECORDED_BURST_MAX,
  REFUSAL_RECORDED_PERIOD_MS,
  REFUSALS_RECORDED_BURST_MAX,
  WHY_CHARACTERS_MAX,
} from "./limits.ts";

export interface Versions {
  readonly root: number;
  readonly timestamp: number;
  readonly snapshot: number;
}

export interface TargetTrail {
  /** Metadata was refused, or what the agent brought in its place. */
  metadataRefused(fault: Fault): Promise<void>;
  /**
   * A target that was meant for this device was refused: it was asked for by name, or it is the
   * newest of its line.
   */
  targetRefused(path: string, code: string, why: string): Promise<void>;
  /**
   * Published targets that are not for this device: one record for each reason, about the new ones
   * among them.
   */
  othersRefused(refused: readonly Refused[]): Promise<void>;
  refreshed(now: Versions): Promise<void>;
  damaged(damage: readonly Damage[]): Promise<void>;
  rosterAccepted(target: string, counter: number, operators: number, tenant: string | undefined): Promise<void>;
}

/** @param known the versions at the start of the program. */
export function createTargetTrail(record: AuditRecorder, clock: Clock, known: Versions): TargetTrail {
  const recordRefusal = createRateLimitedRecorder(record, clock, REFUSALS_RECORDED_BURST_MAX, REFUSAL_RECORDED_PERIOD_MS);
  const firstOf = { metadata: rememberFirst(), target: rememberFirst(), other: rememberFirst(), damage: rememberFirst() };
  // a captured agent can hold signed versions back and bring them one after the other
  const recordRefreshed = createRateLimitedRecorder(record, clock, REFRESHES_RECORDED_BURST_MAX, REFUSAL_RECORDED_PERIOD_MS);
  let before = known;
  return {
    async metadataRefused({ code, message }) {
      if (firstOf.metadata(`${code} ${message}`))
        await recordRefusal({ event: "trust.refused", result: "refused", detail: { code, why: clipWhy(message) } });
    },
    async targetRefused(target, code, why) {
      if (firstOf.target(`${code} ${target} ${why}`))
        await recordRefusal({ event: "target.refused", result: "refused", detail: { target, code, why: clipWhy(why) } });
    },
    async othersRefused(refused) {
      const reasons = Map.groupBy(
        // a published target below the floor is the history of its line and nothing new
        refused.filter(({ path, reason }) => reason !== "floor" && firstOf.other(`${reason} ${path}`)),
        ({ reason }) => reason,
      );
      for (const [reason, [one, ...more]] of reasons)
        if (one !== undefined) {
          const detail = { target: clipWhy(one.path), reason, more: more.length, why: clipWhy(one.message) };
          await recordRefusal({ event: "target.refused", result: "refused", detail });
        }
    },
    async refreshed(now) {
      const { root, timestamp, snapshot } = before;
      if (now.root === root && now.timestamp === timestamp && now.snapshot === snapshot) return;
      before = now;
      await recordRefreshed({ event: "trust.refreshed", result: "ok", detail: { ...now } });
    },
    async damaged(damage) {
      for (const { name, fault } of damage)
        if (firstOf.damage(`${fault.code} ${name}`))
          await recordRefusal({
            event: "trust.damaged",
            result: "failed",
            detail: { file: clip(name, FILE_NAME_CHARACTERS_MAX), code: fault.code, why: clipWhy(fault.message) },
          });
    },
    rosterAccepted: (target, counter, operators, tenant) =>
      record({
        event: "roster.accepted",
        result: "ok",
        detail: { target, counter, operators, ...(tenant === undefined ? {} : { tenant }) },
      }),
  };
}

function clipWhy(message: string): string {
  return clip(message, WHY_CHARACTERS_MAX);
}

/** @returns a function that is true for the first call with a cause, as far as it remembers. */
function rememberFirst(): (cause: string) => boolean {
  const seen = new Set<string>(); // in the order of their first call
  return (cause) => {
    const key = clip(cause, CAUSE_CHARACTERS_MAX);
    if (seen.has(key)) return false;
    const [oldest] = seen;
    if (seen.size >= CAUSES_REMEMBERED_MAX && oldest !== undefined) seen.delete(oldest);
    seen.add(key);
    return true;
  };
}
