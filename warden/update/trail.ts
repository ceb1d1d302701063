// What of an update goes into the audit trail. Pure. [OTA-35]
import type { Event, Phase, Release } from "../../ota/commit/index.ts";
import type { AuditDetail, AuditEntry } from "../audit/format/index.ts";
import { NOTED_CHARACTERS_MAX } from "./limits.ts";

/** @returns undefined for steps that are not recorded: how an update ended comes by {@link endOf}. */
export function stepOf(phase: Phase, event: Event): AuditEntry | undefined {
  if (event.kind === "offered" && phase.at === "fetching")
    return { event: "update.begun", result: "ok", detail: { ...named(phase.release), ordered: event.ordered } };
  if (event.kind === "written" && phase.at === "written")
    return { event: "update.written", result: "ok", detail: { ...named(phase.release), slot: phase.slot } };
  if (event.kind === "try" && phase.at === "trying")
    return { event: "update.trying", result: "ok", detail: { ...named(phase.release), slot: phase.slot } };
  return undefined;
}

/** @returns undefined for a phase that is no end. */
export function endOf(phase: Phase): AuditEntry | undefined {
  switch (phase.at) {
    case "committed":
      return { event: "update.committed", result: "ok", detail: { ...named(phase.release), slot: phase.slot } };
    case "rolled-back": {
      const health = phase.health.map(({ name, verdict }) => `${name} ${verdict}`).join(", ");
      const { why, detail } = phase.reason;
      return {
        event: "update.rolled-back",
        result: "failed",
        detail: { ...named(phase.release), why, reason: clipReason(detail), health: clipReason(health) },
      };
    }
    case "failed":
      return { event: "update.failed", result: "failed", detail: { ...named(phase.release), reason: clipReason(phase.detail) } };
    default:
      return undefined;
  }
}

/** Why the machine is about to be left, in words. */
export function rebootReason(phase: Phase): string {
  if (phase.at === "trying") return `try "${phase.release.target}" in slot ${phase.slot}`;
  if (phase.at === "rolling-back") return `leave "${phase.release.target}" in slot ${phase.slot}: ${phase.reason.why}`;
  return "settle which slot runs";
}

function named({ target, counter, digest }: Release): AuditDetail {
  return { target, counter, digest };
}

export function clipReason(text: string): string {
  return text.slice(0, NOTED_CHARACTERS_MAX).toWellFormed();
}
