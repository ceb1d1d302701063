// `sallyport-hub audit ...`: the trails devices delivered, and whether they are still what was witnessed. [AUD-8]
import { printableJson } from "../../hal/format/text.ts";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { decodeAuditRecord, encodeVerifier } from "../../warden/audit/format/index.ts";
import type { WitnessedLog, Store, StoredRecord } from "../store/index.ts";
import { type Verification, verifyLog } from "../witness/index.ts";
import { type HubCommand, COUNT_OPTION, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { iso, printable, recordLine } from "./render.ts";
import { deviceIdOf, withState } from "./state.ts";

const SHOWN_MAX = 100_000;
const SHOWN_DEFAULT = 20;

export const auditShow: HubCommand = {
  name: "audit show",
  usage: "audit show ID [--state DIR] [-n COUNT] [--json]",
  help: "The newest records of a device's audit trail, as the device's warden wrote them.",
  options: { ...STATE_OPTION, ...JSON_OPTION, ...COUNT_OPTION },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, ({ store }) => {
      const id = deviceIdOf(given);
      const [log] = logsOf(store, id);
      const count = Math.min(given.number("count", 1, SHOWN_MAX) ?? SHOWN_DEFAULT, log.size);
      for (const record of store.audit.records(id, log.auditKey, log.size - count, count))
        terminal.out(given.flag("json") ? printableJson(asData(record)) : asLine(record));
      return 0;
    }),
};

export const auditVerify: HubCommand = {
  name: "audit verify",
  usage: "audit verify ID [--state DIR] [--json]",
  help: "Checks everything stored again, from each record up to the cosigned checkpoint. Exit code 1 names the first bad record.",
  options: { ...STATE_OPTION, ...JSON_OPTION },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, ({ store, authority }) => {
      const id = deviceIdOf(given);
      const results = logsOf(store, id).map((log) => ({
        log,
        result: verifyLog(store.audit, id, log, authority.witness.verifier),
      }));
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

function logsOf(store: Store, id: DeviceId): readonly [WitnessedLog, ...WitnessedLog[]] {
  const [first, ...others] = store.audit.logs(id);
  if (first === undefined)
    throw new Fault("hub.device-unknown", `no audit trail of "${id}" has been witnessed; devices list shows what is known`);
  return [first, ...others];
}

function verdict(id: DeviceId, log: WitnessedLog, { ok, size, faults, cosignedAtMs }: Verification): string {
  const when = cosignedAtMs === undefined ? "never" : iso(cosignedAtMs);
  if (ok) return `${id}: ${size} records, all as witnessed; cosigned ${when}; key ${log.auditKey}`;
  return printable(
    `${id}: NOT as witnessed: ${faults.join("; ")} (${size} of ${log.size} records are well; key ${log.auditKey})`,
  );
}

function asLine(record: StoredRecord): string {
  const decoded = decoding(record);
  return decoded instanceof Fault ? printable(`${record.seq} unreadable: ${decoded.message}`) : recordLine(decoded);
}

function asData(record: StoredRecord): object {
  const decoded = decoding(record);
  const { seq, bytes } = record;
  return decoded instanceof Fault
    ? { seq, fault: decoded.code, bytes: Buffer.from(bytes).toString("base64") }
    : { seq, record: decoded };
}

/** A newer device may write records that this hub cannot read: shown as such, they are witnessed all the same. */
function decoding({ bytes }: StoredRecord): ReturnType<typeof decodeAuditRecord> | Fault {
  try {
    return decodeAuditRecord(bytes);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}
