// Operations with the real pipeline and the real table, and a record of their audit entries.
import { Fault } from "../../../hal/fault.ts";
import { createOperations, type HandlerPorts, type OperationHandlers, type Operations } from "../../../agent/operations/index.ts";
import type { Caller } from "../../../agent/operations/index.ts";
import { check } from "../../../hal/format/schema.ts";
import { type DeviceId, deviceIdSchema } from "../../../hal/format/identity.ts";
import { linuxClock } from "../../../hal/linux/index.ts";
import type { Clock } from "../../../hal/ports.ts";
import { type AuditEntry, type AuditRecord, auditRecord } from "../../../warden/audit/format/index.ts";
import { CONNECTED, IDENTITY } from "./device-status.ts";

export const ROOT: Caller = { channel: "local", socket: "root" };
export const CONSOLE: Caller = { channel: "console" };
export const HUB: Caller = { channel: "tunnel", certificate: `sha256:${"ab".repeat(32)}` };

export const CLOCK = linuxClock();

export function recordOf(seq: number, entry: AuditEntry = { event: "tunnel.connected", result: "ok" }): AuditRecord {
  return auditRecord(entry, {
    seq,
    atMs: Date.UTC(2026, 10, 22, 4, 0, seq),
    monotonicMs: 1000 * seq,
    bootId: "0f0e0d0c-0b0a-4908-8706-050403020100",
    clockSynced: true,
  });
}

const unexpected = (what: string) => async (): Promise<never> => {
  throw new Fault("assert.broken", `no test asks "${what}"`);
};

export function deviceId(text: string): DeviceId {
  return check(deviceIdSchema, text, "id");
}

/** For handlers that need no warden. */
export const NO_WARDEN: Pick<HandlerPorts, "warden" | "deviceId" | "onKeyUpgrade"> = {
  onKeyUpgrade: () => undefined,
  warden: { call: (verb) => unexpected(verb)() },
  deviceId: () => deviceId("GW-4711"),
};

export const HANDLERS: OperationHandlers = {
  status: async () => CONNECTED,
  "identity.show": async () => IDENTITY,
  "audit.tail": async ({ count }) => ({
    head: { size: 3, witnessedSize: 1, dropped: 0 },
    records: [0, 1, 2].slice(-count).map((seq) => recordOf(seq)),
  }),
  "update.status": async () => ({ phase: "idle" }),
  "update.approve": unexpected("update.approve"),
  "update.revert": unexpected("update.revert"),
  "lockdown.show": async () => ({ state: { at: "base" }, open: [], usb: [] }),
  "lockdown.plan": unexpected("lockdown.plan"),
  "lockdown.enforced": unexpected("lockdown.enforced"),
  "lockdown.confirm": unexpected("lockdown.confirm"),
  "lockdown.revert": unexpected("lockdown.revert"),
  "system.reboot": unexpected("system.reboot"),
  "key.upgrade": unexpected("key.upgrade"),
  "reset.plan": unexpected("reset.plan"),
  "system.wipe": unexpected("system.wipe"),
  "order.nonce": unexpected("order.nonce"),
};

/** @returns the operations, and the entries that they have written to the audit trail. */
export function watchedOperations(
  handlers: OperationHandlers = HANDLERS,
  clock: Clock = CLOCK,
): { readonly operations: Operations; readonly entries: readonly AuditEntry[] } {
  const entries: AuditEntry[] = [];
  const audit = async (entry: AuditEntry): Promise<void> => {
    entries.push(entry);
  };
  return { operations: createOperations({ handlers, audit, clock }), entries };
}
