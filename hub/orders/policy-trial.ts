// The policy trial that a device reported, which an order confirms or reverts. [LCK-12]
import { type LockdownPending, lockdownPendingSchema } from "../../agent/tunnel/format.ts";
import { MESSAGE_BODY_BYTES_MAX } from "../limits.ts";
import { parseJson } from "../../hal/format/json.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Store } from "../store/index.ts";
import { tryCheck } from "../../hal/format/schema.ts";

/** Newest events that are searched for the report of a trial. */
const EVENTS_MAX = 256;

export interface PendingTrial extends LockdownPending {
  readonly receivedAtMs: number;
}

/** @returns the newest report of a trial, unless it has expired by the hub's clock. */
export async function pendingTrial(store: Store, deviceId: DeviceId, nowMs: number): Promise<PendingTrial | undefined> {
  for (const { body, receivedAtMs } of await store.messages.last(deviceId, "event", EVENTS_MAX)) {
    const report =
      body === undefined ? undefined : tryCheck(lockdownPendingSchema, parseJson(body, MESSAGE_BODY_BYTES_MAX, "event"));
    if (report !== undefined) return receivedAtMs + report.confirmWithinMs > nowMs ? { ...report, receivedAtMs } : undefined;
  }
  return undefined;
}
