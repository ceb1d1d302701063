// The handlers of the operations. They read from the agent and the warden, and submit orders to the
// warden, which alone verifies and executes them.
import { asFault, Fault } from "../../hal/fault.ts";
import { AUDIT_RECORD_BYTES_MAX, type AuditHead, type AuditRecord, decodeAuditRecord } from "../../warden/audit/format/index.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { REPORT_VALUES_MAX } from "../../hal/format/json.ts";
import type { OrderVerb } from "../../warden/orders/format/index.ts";
import { AUDIT_READ_RECORDS_MAX, type WardenResult } from "../../warden/protocol/format.ts";
import type { DeviceStatus } from "../status/format.ts";
import { identityViewOf, type ReadResult } from "../status/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { OperationHandlers } from "./bind.ts";
import { type AuditTail, OPERATION_ANSWER_BYTES_MAX } from "./format.ts";
import { ANSWER_MARGIN_BYTES, ANSWER_MARGIN_VALUES } from "./limits.ts";

export interface HandlerPorts {
  readonly snapshot: () => Promise<DeviceStatus>;
  readonly auditHead: () => Promise<AuditHead>;
  /**
   * Reads encoded records from number `from` on. There are fewer than `count` when the trail ends
   * or the answer is full. `count` is at most {@link AUDIT_READ_RECORDS_MAX}.
   */
  readonly readAudit: (from: number, count: number) => Promise<readonly Uint8Array[]>;
  readonly warden: Pick<WardenClient, "call">;
  /** An order has granted an upgrade of the key. */
  readonly onKeyUpgrade: () => void;
  /** @throws Fault `identity.no-source` until the warden has reported it. */
  readonly deviceId: () => DeviceId;
}

export function createHandlers(ports: HandlerPorts): OperationHandlers {
  const { warden } = ports;
  const submit = async (verb: OrderVerb, order: string): Promise<void> =>
    void (await warden.call("order.submit", { verb, order }));
  return {
    status: () => ports.snapshot(),
    "identity.show": async () => {
      // Without it the short form of the status is shown.
      const details = warden.call("tpm.read", {}).catch(() => undefined);
      const [status, answer] = await Promise.all([ports.snapshot(), readIdentity(warden)]);
      return identityViewOf(status, answer, await details);
    },
    "audit.tail": ({ count }) => auditTail(ports, count),
    "update.status": () => warden.call("update.read", {}),
    "update.approve": async ({ order }) => {
      await submit("update.approve", order);
      return await warden.call("update.read", {});
    },
    "update.revert": async ({ order }) => {
      await submit("update.revert", order);
      return await warden.call("update.read", {});
    },
    "lockdown.show": () => warden.call("lockdown.read", {}),
    "lockdown.plan": ({ policy }) => warden.call("lockdown.preview", { policy }),
    "lockdown.enforced": ({ of }) => warden.call("lockdown.enforced", { of }),
    "lockdown.confirm": async ({ order }) => {
      await submit("lockdown.confirm", order);
      return await warden.call("lockdown.read", {});
    },
    "lockdown.revert": async ({ order }) => {
      await submit("lockdown.revert", order);
      return await warden.call("lockdown.read", {});
    },
    "system.reboot": async ({ order }) => {
      await submit("system.reboot", order);
      return { rebooting: true };
    },
    "key.upgrade": async ({ order }) => {
      await submit("key.upgrade", order);
      ports.onKeyUpgrade();
      const { keyUpgrade } = await warden.call("status.read", {});
      return keyUpgrade === undefined ? {} : { grant: keyUpgrade };
    },
    "reset.plan": () => warden.call("reset.plan", {}),
    "system.wipe": async ({ order }) => {
      await submit("system.wipe", order);
      return { wiping: true };
    },
    "order.nonce": async ({ verb }) => ({ deviceId: ports.deviceId(), ...(await warden.call("order.nonce", { verb })) }),
  };
}

/** A view of the identity is needed most when something is broken: a fault is part of it. */
async function readIdentity(warden: HandlerPorts["warden"]): Promise<ReadResult<WardenResult<"identity.read">>> {
  try {
    return { value: await warden.call("identity.read", {}) };
  } catch (error) {
    const { code, message } = asFault(error, "protocol.closed", "read the identity");
    return { fault: { code, message } };
  }
}

/**
 * @returns the last `count` records, or the newest of them when an answer cannot hold all. They are
 *   read in pieces; at most 256 records of 4 KiB are in memory.
 */
async function auditTail(ports: HandlerPorts, count: number): Promise<AuditTail> {
  const head = await ports.auditHead();
  const records: Uint8Array[] = [];
  let next = Math.max(0, head.size - count);
  while (next < head.size) {
    const piece = await ports.readAudit(next, Math.min(AUDIT_READ_RECORDS_MAX, head.size - next));
    // Segments that the hub has witnessed may have been deleted. [AUD-11]
    if (piece.length === 0) break;
    records.push(...piece.slice(0, head.size - next));
    next += piece.length;
  }
  return { head, records: newestThatFit(records).map((record) => decode(record)) };
}

/** In bytes, and in the values that a reader of the answer takes. [STA-12] */
function newestThatFit(records: readonly Uint8Array[]): readonly Uint8Array[] {
  let bytes = ANSWER_MARGIN_BYTES;
  let values = ANSWER_MARGIN_VALUES;
  let first = records.length;
  for (const record of records.toReversed()) {
    bytes += record.byteLength + 1;
    values += valuesMaxOf(record) + 1;
    if (bytes > OPERATION_ANSWER_BYTES_MAX || values > REPORT_VALUES_MAX) break;
    first -= 1;
  }
  return records.slice(first);
}

/** No fewer than the record has: texts may hold such characters, too. */
function valuesMaxOf(record: Uint8Array): number {
  return record.reduce((count, byte) => (byte === COMMA || byte === LIST_OPEN || byte === OBJECT_OPEN ? count + 1 : count), 0);
}

const COMMA = 0x2c;
const LIST_OPEN = 0x5b;
const OBJECT_OPEN = 0x7b;

/**
 * @throws Fault `audit.tampered` for an unreadable record. The warden returns what the log
 *   contains, so somebody else has written it.
 */
function decode(record: Uint8Array): AuditRecord {
  try {
    return decodeAuditRecord(record);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(
      "audit.tampered",
      `a record of the audit trail cannot be read (${Math.min(record.byteLength, AUDIT_RECORD_BYTES_MAX)} bytes); verify the trail: ${error.message}`,
      { cause: error },
    );
  }
}
