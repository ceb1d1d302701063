// Asking for a reboot, with what comes of it in the audit trail. [OTA-35]
import { asFault } from "../../hal/fault.ts";
import type { Power } from "../../hal/ports.ts";
import type { AuditRecorder } from "../audit/index.ts";
import { clipReason } from "./trail.ts";

/**
 * @returns asks for an orderly reboot. It is recorded before, because what is stopped may record no more; that it could not be asked for is recorded after. Asked
 *   again for the same reason, what fails as before is not recorded once more, and what succeeds is, then. It throws Fault `power.failed`.
 */
export function createReboot(power: Power, note: AuditRecorder): (reason: string) => Promise<void> {
  let failed: { readonly reason: string; readonly why: string } | undefined;
  return async (reason) => {
    const before = failed?.reason === reason ? failed : undefined;
    const asked = (): Promise<void> => note({ event: "system.rebooting", result: "ok", detail: { reason } });
    if (before === undefined) await asked();
    try {
      await power.reboot(reason);
    } catch (error) {
      const fault = asFault(error, "power.failed", "ask for a reboot");
      const why = clipReason(fault.message);
      failed = { reason, why };
      if (before?.why !== why)
        await note({ event: "system.rebooting", result: "failed", detail: { reason, code: fault.code, why } });
      throw fault;
    }
    failed = undefined;
    if (before !== undefined) await asked();
  };
}
