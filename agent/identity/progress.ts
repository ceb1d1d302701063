// The progress of enrolment in the audit trail: each change once, however often enrolment is tried.
import type { Fault, FaultCode } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { EnrolmentProgress } from "../../provisioning/enrolment/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { faultDetail } from "../fault-detail.ts";

export interface ProgressReporter {
  record(progress: EnrolmentProgress): void;
  /** Why enrolment waits; undefined while it does not. */
  fault(): Fault | undefined;
  /** A certificate was requested and has not come yet. */
  requested(): boolean;
}

/** @param note appends to the audit trail and never throws. */
export function createProgressReporter(
  note: (entry: AuditEntry) => void,
  deviceId: () => DeviceId | undefined,
): ProgressReporter {
  let fault: Fault | undefined;
  let isRequested = false;
  return {
    record(progress) {
      switch (progress.kind) {
        case "key-ready":
          return;
        case "requested":
          isRequested = true;
          note({ event: "enrolment.requested", result: "ok", detail: { id: deviceId() ?? "" } });
          return;
        case "waiting": {
          const { code } = progress.fault;
          if (fault?.code !== code) note({ ...eventOf(code), detail: faultDetail(progress.fault) });
          fault = progress.fault;
          return;
        }
        case "certificate-ready": {
          const { serial, notAfterMs } = progress.certificate;
          const detail = { serial, notAfter: new Date(notAfterMs).toISOString() };
          if (isRequested) note({ event: "enrolment.completed", result: "ok", detail });
          fault = undefined;
          isRequested = false;
        }
      }
    },
    fault: () => fault,
    requested: () => isRequested,
  };
}

function eventOf(code: FaultCode): Pick<AuditEntry, "event" | "result"> {
  switch (code) {
    case "tls.hub-untrusted":
    case "tls.hub-name":
      return { event: "hub.untrusted", result: "refused" };
    case "key.tpm-missing":
    case "key.tpm-unavailable":
      return { event: "key.unavailable", result: "failed" };
    case "enrol.id-taken":
    case "enrol.pending":
      return { event: "enrolment.failed", result: "refused" };
    default:
      return { event: "enrolment.failed", result: "failed" };
  }
}
