// Audit records as a table for people. Texts in records may come from anywhere, so the table is
// ASCII. Pure. [CON-11]
import type { AuditHead, AuditRecord } from "../../warden/audit/format/index.ts";
import { serialText, wrapText } from "./serial-text.ts";
import { counted } from "./units.ts";

interface Tail {
  readonly head: AuditHead;
  readonly records: readonly AuditRecord[];
}

/** Continuation lines begin below the time. */
const INDENT = 7;

/**
 * @returns a summary line, then one line for each record, wrapped at `columnsMax`. A "?" after a
 *   time means that the clock was not verified against the hub.
 */
export function renderTail({ head, records }: Tail, columnsMax = Number.POSITIVE_INFINITY): string {
  const summary = `${counted(head.size, "record")}, ${head.witnessedSize} witnessed by the hub, ${head.dropped} dropped`;
  return [summary, ...records.flatMap((record) => wrapText(recordLine(record), columnsMax, INDENT)), ""].join("\n");
}

function recordLine(record: AuditRecord): string {
  const { seq, at, synced, source, severity, event, result, correlation, detail } = record;
  const members = Object.entries(detail ?? {}).map(([name, value]) => `${name}=${detailValue(String(value))}`);
  const columns = [
    String(seq).padStart(6),
    `${at.slice(0, 19)}${synced ? "Z" : "?"}`,
    source.padEnd(6),
    severity.padEnd(7),
    event.padEnd(20),
    result.padEnd(7),
    principalText(record),
    ...(correlation === undefined ? [] : [`id=${detailValue(correlation)}`]),
    ...members,
  ];
  return serialText(columns.join(" "));
}

/** [AUD-40] In a record of the agent's, who did it is the agent's word. */
function principalText({ source, principal }: AuditRecord): string {
  if (principal === undefined) return "-";
  return source === "agent" ? `${principal} (says the agent)` : principal;
}

function detailValue(text: string): string {
  return /^[\w.:/@+-]+$/u.test(text) ? text : JSON.stringify(text);
}
