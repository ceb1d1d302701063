// Enrolment's progress for the audit trail: every change once, however often it is tried.
import type { Fault, FaultCode } from "../../hal/fault.ts";
import type { EnrolmentProgress } from "../../provisioning/enrolment/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import type { IdentityManagerOptions } from "./ports.ts";

export interface ProgressReporter {
  progress(progress: EnrolmentProgress): void;
  /** Why enrolment waits; undefined while it does not. */
  fault(): Fault | undefined;
  requested(): boolean;
}

export function createProgressReporter(
  { note }: Pick<IdentityManagerOptions, "note">,
  identity: () => WardenResult<"identity.read"> | undefined,
): ProgressReporter {
  const state: { fault: Fault | undefined; requested: boolean } = { fault: undefined, requested: false };
  return {
    progress(progress) {
      switch (progress.kind) {
        case "key-ready":
          return;
        case "requested":
          state.requested = true;
          note({ event: "enrolment.requested", result: "ok", detail: { id: identity()?.identity.id ?? "" } });
          return;
        case "waiting": {
          const { code, message } = progress.fault;
          const detail = { code, message: message.slice(0, 512) };
          if (state.fault?.code !== code) note({ ...kindOf(code), detail });
          state.fault = progress.fault;
          return;
        }
        case "certificate-ready":
          if (state.requested)
            note({
              event: "enrolment.completed",
              result: "ok",
              detail: { serial: progress.certificate.serial, notAfter: new Date(progress.certificate.notAfterMs).toISOString() },
            });
          state.fault = undefined;
          state.requested = false;
      }
    },
    fault: () => state.fault,
    requested: () => state.requested,
  };
}

function kindOf(code: FaultCode): Pick<AuditEntry, "event" | "result"> {
  switch (code) {
    case "tls.hub-untrusted":
    case "tls.hub-name":
      return { event: "hub.untrusted", result: "refused" };
    case "key.tpm-unavailable":
      return { event: "key.unavailable", result: "failed" };
    case "enrol.pending":
      return { event: "enrolment.failed", result: "refused" };
    default:
      return { event: "enrolment.failed", result: "failed" };
  }
}
