// A request for a reboot, with its outcome in the audit trail. [OTA-61]
import { asFault } from "../../hal/fault.ts";
import type { Power } from "../../hal/ports.ts";
import type { AuditRecorder } from "../audit/index.ts";
import { clipReason } from "./trail.ts";

/**
 * @returns a function that requests an orderly reboot. The request is recorded before it is made,
 *   because a system that stops may record no more; a failure is recorded after it. A repeated
 *   request for the same reason records only what changed: another failure, or that it succeeded.
 *   It throws Fault `power.failed`.
 */
export function createReboot(power: Power, record: AuditRecorder): (reason: string) => Promise<void> {
  let failed: { readonly reason: string; readonly why: string } | undefined;
  return async (reason) => {
    const before = failed?.reason === reason ? failed : undefined;
    const recordRequest = (): Promise<void> => record({ event: "system.rebooting", result: "ok", detail: { reason } });
    if (before === undefined) await recordRequest();
    try {
      await power.reboot(reason);
    } catch (error) {
      const fault = asFault(error, "power.failed", "ask for a reboot");
      const why = clipReason(fault.message);
      failed = { reason, why };
      if (before?.why !== why)
        await record({ event: "system.rebooting", result: "failed", detail: { reason, code: fault.code, why } });
      throw fault;
    }
    failed = undefined;
    if (before !== undefined) await recordRequest();
  };
}
