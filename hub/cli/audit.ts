// `sallyport-hub audit ...`: the audit trails that devices delivered, and their verification.
// [AUD-8]
import { printableJson } from "../../hal/format/text.ts";
import { Fault } from "../../hal/fault.ts";
import { counted, wrap } from "../../hal/format/prose.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { decodeAuditRecord, encodeVerifier } from "../../warden/audit/format/index.ts";
import type { WitnessedLog, Store, StoredRecord } from "../store/index.ts";
import { type Verification, verifyLog } from "../witness/index.ts";
import { type HubCommand, COUNT_OPTION, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { iso, printed, recordLine } from "./render.ts";
import { deviceIdOf, withState } from "./state.ts";

const SHOWN_MAX = 100_000;
const SHOWN_DEFAULT = 20;

export const auditShow: HubCommand = {
  name: "audit show",
  usage: "audit show ID [--state DIR] [-n COUNT] [--json]",
  help: "Shows the newest records of a device's audit trail, as the device's warden wrote them.",
  options: { ...STATE_OPTION, ...JSON_OPTION, ...COUNT_OPTION },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const id = deviceIdOf(given);
      const [log] = await logsOf(store, id);
      const count = Math.min(given.number("count", 1, SHOWN_MAX) ?? SHOWN_DEFAULT, log.size);
      for (const record of await store.audit.records(id, log.auditKey, log.size - count, count))
        terminal.out(given.flag("json") ? printableJson(asData(record)) : asLine(record));
      return 0;
    }),
};

export const auditVerify: HubCommand = {
  name: "audit verify",
  usage: "audit verify ID [--state DIR] [--json]",
  help: "Verifies the stored trail, from each record up to the cosigned checkpoint. Exit code 1: it is not as witnessed, and the message names the first bad record.",
  options: { ...STATE_OPTION, ...JSON_OPTION },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async ({ store, authority }) => {
      const id = deviceIdOf(given);
      const results = await Promise.all(
        (await logsOf(store, id)).map(async (log) => ({
          log,
          result: await verifyLog(store.audit, id, log, authority.witness.verifier),
        })),
      );
      const witness = encodeVerifier(authority.witness.verifier);
      for (const { log, result } of results)
        terminal.out(
          given.flag("json")
            ? printableJson({ deviceId: id, auditKey: log.auditKey, witness, ...result })
            : verdict(id, log, result),
        );
      return results.every(({ result }) => result.ok) ? 0 : 1;
    }),
};

async function logsOf(store: Store, id: DeviceId): Promise<readonly [WitnessedLog, ...WitnessedLog[]]> {
  const [first, ...others] = await store.audit.logs(id);
  if (first === undefined)
    throw new Fault(
      "hub.device-unknown",
      `no audit trail of "${id}" has been witnessed; run sallyport-hub devices list to see the known devices`,
    );
  return [first, ...others];
}

function verdict(id: DeviceId, log: WitnessedLog, { ok, size, faults, cosignedAtMs }: Verification): string {
  const when = cosignedAtMs === undefined ? "never" : iso(cosignedAtMs);
  if (ok) return wrap(`${id}: ${counted(size, "record")}, all as witnessed; cosigned ${when}; key ${log.auditKey}`, 2);
  const good = `the first ${size} of ${counted(log.size, "record")} are as witnessed`;
  return wrap(printed(`${id}: NOT as witnessed: ${faults.join("; ")} (${good}; key ${log.auditKey})`), 2);
}

function asLine(record: StoredRecord): string {
  const decoded = decode(record);
  return decoded instanceof Fault ? printed(`${record.seq} unreadable: ${decoded.message}`) : recordLine(decoded);
}

function asData(record: StoredRecord): object {
  const decoded = decode(record);
  const { seq, bytes } = record;
  return decoded instanceof Fault
    ? { seq, fault: decoded.code, bytes: Buffer.from(bytes).toString("base64") }
    : { seq, record: decoded };
}

/** A newer device may write records that this hub cannot read. They are witnessed all the same. */
function decode({ bytes }: StoredRecord): ReturnType<typeof decodeAuditRecord> | Fault {
  try {
    return decodeAuditRecord(bytes);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}
