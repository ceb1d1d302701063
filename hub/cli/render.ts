// The printed form of devices, journal entries and records. Devices are strangers until they are
// approved, and a captured one may lie: text of theirs reaches a terminal without control
// characters.
import { printable } from "../../hal/format/text.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import { auditKeyFingerprint } from "../devices/index.ts";
import { type ConnectionRecord, type Device, isReport, type JournalEntry, type StoredEscrow } from "../store/index.ts";

/** The whole text, with `?` for what would move the cursor or hide text. */
export function printed(text: string): string {
  return printable(text, text.length);
}

/** [AUD-40] What a device reported is its agent's word. */
export function journalLine({ event, severity, deviceId, detail, lastAtMs, times }: JournalEntry): string {
  const members = Object.entries(detail).map(([name, value]) => `${name}=${memberText(String(value))}`);
  const repeated = times > 1 ? [`(${times} times)`] : [];
  const claimed = isReport(event) ? ["(says the agent)"] : [];
  return printed([iso(lastAtMs), severity, event, deviceId ?? "-", ...members, ...claimed, ...repeated].join(" "));
}

export function deviceLines(device: Device, connection: ConnectionRecord | undefined): string {
  const { id, fingerprint, state, address, requestedAtMs, decidedAtMs, decidedBy } = device;
  const [board, audit] = boundLines(device);
  const decided = decidedAtMs === undefined ? "" : `, ${state} ${iso(decidedAtMs)} by ${decidedBy ?? "?"}`;
  const lines = [
    `${id}  ${state}${connection === undefined ? "" : "  connected"}`,
    `  key      ${fingerprint}`,
    board,
    `  asked    ${iso(requestedAtMs)} from ${address}${decided}`,
    audit,
  ];
  if (device.proposed !== undefined)
    lines.push(
      "  changed  its request differs from the approved one; if that is right, run:",
      `           sallyport-hub devices approve ${id} ${fingerprint} --changed`,
    );
  if (connection !== undefined) {
    const { sinceMs, protocol, cipher, group, serial } = connection;
    lines.push(`  tunnel   since ${iso(sinceMs)}, ${protocol}, ${cipher}, ${group}, certificate ${serial}`);
  }
  return lines.map((line) => printed(line)).join("\n");
}

/** [ID-31] What an approval binds to an id and a key: the board's names, and the audit key. */
export function boundLines({ serialNumber, uris, auditKey }: Device): readonly [string, string] {
  return [
    printed(`  board    ${serialNumber ?? "no serial"}  ${uris.join(" ")}`),
    `  audit    ${auditKeyFingerprint(auditKey) ?? "no key in the request, so its log cannot be witnessed"}`,
  ];
}

/** [ID-26] What an approved device has changed: the values in force, and those of its request. */
export function changeLines(known: Device, proposed: Pick<Device, "serialNumber" | "uris" | "auditKey">): string {
  const rows = [
    ["board", known.serialNumber ?? "no serial", proposed.serialNumber ?? "no serial"],
    ["names", known.uris.join(" ") || "none", proposed.uris.join(" ") || "none"],
    ["audit", auditKeyText(known.auditKey), auditKeyText(proposed.auditKey)],
  ] as const;
  const lines = rows.flatMap(([name, old, now]) => {
    const label = name.padEnd(7);
    return old === now ? [`  ${label}  same  ${old}`] : [`  ${label}  old   ${old}`, `  ${"".padEnd(7)}  new   ${now}`];
  });
  return [`${known.id}  ${known.state}  key ${known.fingerprint}`, ...lines].map((line) => printed(line)).join("\n");
}

/** Fingerprint and key id: the id is in the name of every checkpoint's signature. */
function auditKeyText(auditKey: string | undefined): string {
  const fingerprint = auditKeyFingerprint(auditKey);
  return fingerprint === undefined ? "no key" : `${fingerprint}, id ${auditKey?.split("+")[1] ?? ""}`;
}

/** [ID-55] */
export function escrowLine({ madeAtMs, receivedAtMs, storage, auditKey }: StoredEscrow, isPrinted: boolean): string {
  const [, keyId = "?"] = auditKey.split("+");
  const what = `made ${iso(madeAtMs)}, received ${iso(receivedAtMs)}, storage root ${storage}, signed by the audit key with id ${keyId}`;
  return printed(`${isPrinted ? "printed: " : ""}${what}`);
}

export function recordLine({ seq, at, severity, event, result, source, principal, detail = {} }: AuditRecord): string {
  const members = Object.entries(detail).map(([name, value]) => `${name}=${memberText(String(value))}`);
  return printed([seq, at, severity, event, result, `by ${byWhom({ source, principal })}`, ...members].join(" "));
}

/**
 * [AUD-40] The warden marks a record that the agent reported. Who did it is the agent's word then,
 * and a captured agent can name anybody.
 */
function byWhom({ source, principal }: Pick<AuditRecord, "source" | "principal">): string {
  if (principal === undefined) return source;
  return source === "agent" ? `${principal} (says the agent)` : principal;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function memberText(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
}
