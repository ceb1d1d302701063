// The audit trail of updates: which steps are recorded, and how. Pure. [OTA-35]
import type { Event, Phase, Release } from "../../ota/commit/index.ts";
import { clip } from "../../hal/format/text.ts";
import type { AuditDetail, AuditEntry } from "../audit/format/index.ts";
import { REASON_CHARACTERS_MAX } from "./limits.ts";

/**
 * @returns undefined for a step that is not recorded. The end of an update is recorded by
 *   {@link endOf}.
 */
export function stepOf(phase: Phase, event: Event): AuditEntry | undefined {
  if (event.kind === "offered" && phase.at === "fetching")
    return { event: "update.begun", result: "ok", detail: { ...releaseDetail(phase.release), ordered: event.ordered } };
  if (event.kind === "written" && phase.at === "written")
    return { event: "update.written", result: "ok", detail: { ...releaseDetail(phase.release), slot: phase.slot } };
  if (event.kind === "try" && phase.at === "trying")
    return { event: "update.trying", result: "ok", detail: { ...releaseDetail(phase.release), slot: phase.slot } };
  return undefined;
}

/** @returns undefined for a phase that does not end an update. */
export function endOf(phase: Phase): AuditEntry | undefined {
  switch (phase.at) {
    case "committed":
      return { event: "update.committed", result: "ok", detail: { ...releaseDetail(phase.release), slot: phase.slot } };
    case "rolled-back": {
      const health = phase.health.map(({ name, verdict }) => `${name} ${verdict}`).join(", ");
      const { why, detail } = phase.reason;
      return {
        event: "update.rolled-back",
        result: "failed",
        detail: { ...releaseDetail(phase.release), why, reason: clipReason(detail), health: clipReason(health) },
      };
    }
    case "failed":
      return {
        event: "update.failed",
        result: "failed",
        detail: { ...releaseDetail(phase.release), reason: clipReason(phase.detail) },
      };
    default:
      return undefined;
  }
}

/** The reason for a reboot, in words. */
export function rebootReason(phase: Phase): string {
  if (phase.at === "trying") return `try "${phase.release.target}" in slot ${phase.slot}`;
  if (phase.at === "rolling-back") return `leave "${phase.release.target}" in slot ${phase.slot}: ${phase.reason.why}`;
  return "settle which slot runs";
}

function releaseDetail({ target, counter, digest }: Release): AuditDetail {
  return { target, counter, digest };
}

/** A reason as an audit record may hold it. */
export function clipReason(text: string): string {
  return clip(text, REASON_CHARACTERS_MAX);
}
