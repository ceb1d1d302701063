// The policy that a device is trying, as it reported it: what an order confirms or reverts. [LCK-12]
import * as v from "valibot";
import { type LockdownPending, lockdownPendingSchema } from "../../agent/tunnel/format.ts";
import { MESSAGE_BODY_BYTES_KEPT } from "../limits.ts";
import { parseJson } from "../../hal/format/json.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Store } from "../store/index.ts";

/** Newest events looked through for one report. */
const EVENTS_MAX = 256;

export interface PendingTrial extends LockdownPending {
  readonly receivedAtMs: number;
}

/** @returns the newest report of a trial, unless its time is over by the hub's clock. */
export function pendingTrial(store: Store, deviceId: DeviceId, nowMs: number): PendingTrial | undefined {
  for (const { body, receivedAtMs } of store.messages.last(deviceId, "event", EVENTS_MAX)) {
    const report =
      body === undefined ? undefined : v.safeParse(lockdownPendingSchema, parseJson(body, MESSAGE_BODY_BYTES_KEPT, "event"));
    if (report?.success === true)
      return receivedAtMs + report.output.confirmWithinMs > nowMs ? { ...report.output, receivedAtMs } : undefined;
  }
  return undefined;
}
