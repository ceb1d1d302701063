// What is printed. Devices are strangers until approved, and liars when captured: nothing they said reaches a terminal with control characters in it.
import { printable as printableUnits } from "../../hal/format/text.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import type { ConnectionRecord, Device, JournalEntry } from "../store/index.ts";

/** Longer than anything that fits a message. */
const LINE_UNITS_MAX = 1_048_576;

/** One line of printable text; what would move a cursor or hide a line becomes `?`. */
export function printable(text: string): string {
  return printableUnits(text, LINE_UNITS_MAX);
}

export function journalLine({ event, severity, deviceId, detail, lastAtMs, times }: JournalEntry): string {
  const members = Object.entries(detail).map(([name, value]) => `${name}=${quoted(String(value))}`);
  const repeated = times > 1 ? [`(${times} times)`] : [];
  return printable([iso(lastAtMs), severity, event, deviceId ?? "-", ...members, ...repeated].join(" "));
}

export function deviceLines(device: Device, connection: ConnectionRecord | undefined): string {
  const { id, fingerprint, state, serialNumber, uris, address, requestedAtMs, decidedAtMs, decidedBy, auditKey } = device;
  const decided = decidedAtMs === undefined ? "" : `, ${state} ${iso(decidedAtMs)} by ${decidedBy ?? "?"}`;
  const lines = [
    `${id}  ${state}${connection === undefined ? "" : "  connected"}`,
    `  key      ${fingerprint}`,
    `  board    ${serialNumber ?? "no serial"}  ${uris.join(" ")}`,
    `  asked    ${iso(requestedAtMs)} from ${address}${decided}`,
    `  audit    ${auditKey === undefined ? "no key in the request: its log cannot be witnessed" : "key known"}`,
  ];
  if (device.proposed !== undefined)
    lines.push(
      `  changed  it says something else of itself now; if that is right: devices approve ${id} ${fingerprint} --changed`,
    );
  if (connection !== undefined) {
    const { sinceMs, protocol, cipher, group, serial } = connection;
    lines.push(`  tunnel   since ${iso(sinceMs)}, ${protocol}, ${cipher}, ${group}, certificate ${serial}`);
  }
  return lines.map((line) => printable(line)).join("\n");
}

export function recordLine({ seq, at, severity, event, result, source, principal, detail = {} }: AuditRecord): string {
  const members = Object.entries(detail).map(([name, value]) => `${name}=${quoted(String(value))}`);
  return printable([seq, at, severity, event, result, `by ${byWhom({ source, principal })}`, ...members].join(" "));
}

/** [AUD-12] The warden marks a record that the agent reported. Who did it is the agent's word then, and a captured agent can name anybody. */
function byWhom({ source, principal }: Pick<AuditRecord, "source" | "principal">): string {
  if (principal === undefined) return source;
  return source === "agent" ? `${principal} (says the agent)` : principal;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function quoted(value: string): string {
  return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
}
