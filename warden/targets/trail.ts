// What the audit trail hears of the repository: each cause once, and never more than the log can bear. [AUD-11]
import type { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { Damage } from "../../ota/trust/index.ts";
import { type AuditRecorder, createRateLimitedRecorder } from "../audit/index.ts";
import type { Refused } from "./selection.ts";
import {
  CAUSE_CHARACTERS_MAX,
  CAUSES_REMEMBERED_MAX,
  REFUSAL_NOTED_PERIOD_MS,
  REFUSALS_NOTED_BURST_MAX,
  WHY_CHARACTERS_MAX,
} from "./limits.ts";

export interface Versions {
  readonly root: number;
  readonly timestamp: number;
  readonly snapshot: number;
}

export interface TargetTrail {
  /** Metadata, or what was brought in its place. */
  metadataRefused(fault: Fault): Promise<void>;
  /** A target that somebody meant for this device: by name, or by being the newest of its line. */
  targetRefused(path: string, code: string, why: string): Promise<void>;
  /** Targets that are published and not for this device: one record for each reason, of what is new among them. */
  othersRefused(refused: readonly Refused[]): Promise<void>;
  refreshed(now: Versions): Promise<void>;
  damaged(damage: readonly Damage[]): Promise<void>;
  rosterAccepted(target: string, counter: number, operators: number, tenant: string | undefined): Promise<void>;
}

/** @param known the versions that were known when the program started. */
export function createTargetTrail(note: AuditRecorder, clock: Clock, known: Versions): TargetTrail {
  const refusal = createRateLimitedRecorder(note, clock, REFUSALS_NOTED_BURST_MAX, REFUSAL_NOTED_PERIOD_MS);
  const firstOf = { metadata: onceEach(), target: onceEach(), other: onceEach(), damage: onceEach() };
  let before = known;
  return {
    async metadataRefused({ code, message }) {
      if (firstOf.metadata(`${code} ${message}`))
        await refusal({ event: "trust.refused", result: "refused", detail: { code, why: text(message) } });
    },
    async targetRefused(target, code, why) {
      if (firstOf.target(`${code} ${target} ${why}`))
        await refusal({ event: "target.refused", result: "refused", detail: { target, code, why: text(why) } });
    },
    async othersRefused(refused) {
      const reasons = Map.groupBy(
        // what is below the floor and published is what came before: the history of a line, not news
        refused.filter(({ path, reason }) => reason !== "floor" && firstOf.other(`${reason} ${path}`)),
        ({ reason }) => reason,
      );
      for (const [reason, [one, ...more]] of reasons)
        if (one !== undefined) {
          const detail = { target: text(one.path), reason, more: more.length, why: text(one.message) };
          await refusal({ event: "target.refused", result: "refused", detail });
        }
    },
    async refreshed(now) {
      const { root, timestamp, snapshot } = before;
      if (now.root === root && now.timestamp === timestamp && now.snapshot === snapshot) return;
      before = now;
      await note({ event: "trust.refreshed", result: "ok", detail: { ...now } });
    },
    async damaged(damage) {
      for (const { name, fault } of damage)
        if (firstOf.damage(`${fault.code} ${name}`))
          await refusal({
            event: "trust.damaged",
            result: "failed",
            detail: { file: name.slice(0, 128), code: fault.code, why: text(fault.message) },
          });
    },
    rosterAccepted: (target, counter, operators, tenant) =>
      note({
        event: "roster.accepted",
        result: "ok",
        detail: { target, counter, operators, ...(tenant === undefined ? {} : { tenant }) },
      }),
  };
}

function text(message: string): string {
  return message.slice(0, WHY_CHARACTERS_MAX).toWellFormed();
}

/** @returns a function that is true the first time it is told of a cause, as far as it remembers. */
function onceEach(): (cause: string) => boolean {
  const told = new Set<string>(); // in the order in which they were told
  return (cause) => {
    const key = cause.slice(0, CAUSE_CHARACTERS_MAX);
    if (told.has(key)) return false;
    const [oldest] = told;
    if (told.size >= CAUSES_REMEMBERED_MAX && oldest !== undefined) told.delete(oldest);
    told.add(key);
    return true;
  };
}
