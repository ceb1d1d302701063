// The printed form of devices, journal entries and records. Devices are strangers until they are
// approved, and a captured one may lie: text of theirs reaches a terminal without control
// characters.
import { boardText } from "../../hal/format/identity.ts";
import { printable } from "../../hal/format/text.ts";
import type { AuditRecord } from "../../warden/audit/format/index.ts";
import {
  auditKeyFingerprint,
  boardOf,
  claimOf,
  isMacAlone,
  OWN_ID,
  isWeakerClaim,
  proposedRequest,
  protectionName,
  replaceCommand,
  requestDigest,
} from "../devices/index.ts";
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

/**
 * @param inForce another key of the id, which is in force.
 * @param beside `ofKey`: other ids that this key has asked for. `rival`: another board that asks
 *   with this id, where none is in force. [ID-95]
 */
export function deviceLines(
  device: Device,
  connection: ConnectionRecord | undefined,
  inForce?: Device,
  { ofKey = [], rival }: { readonly ofKey?: readonly string[]; readonly rival?: Device | undefined } = {},
): string {
  const { id, fingerprint, state, address, requestedAtMs, decidedAtMs, decidedBy, replacedBy } = device;
  const [kept, board, audit] = boundLines(device);
  const decided = decidedAtMs === undefined ? "" : `, ${state} ${iso(decidedAtMs)} by ${decidedBy ?? "?"}`;
  const lines = [
    `${id}  ${state}${connection === undefined ? "" : "  connected"}`,
    `  key      ${fingerprint}`,
    kept,
    board,
    `  asked    ${iso(requestedAtMs)} from ${address}${decided}`,
    audit,
    `  request  ${requestDigest(device, inForce?.fingerprint)}`,
    ...(inForce !== undefined && mayReplace(device) ? replacementLines(device, inForce) : []),
  ];
  if (rival !== undefined) lines.push(...twoBoardsLines(device, rival, "also asking"));
  if (ofKey.length > 0) lines.push(`  also     this key has asked as ${ofKey.join(", ")} too, and a key is a board's own`);
  if (replacedBy !== undefined) lines.push(`  replaced by ${replacedBy}`);
  if (device.rekey !== undefined)
    lines.push(
      `  rekey    one other key is permitted until ${iso(device.rekey.untilMs)}, ${device.rekey.to ?? protectionName(device.protection)} at least`,
    );
  const proposed = proposedRequest(device);
  if (proposed !== undefined) {
    const { protection } = proposed;
    const isOther = protection !== device.protection;
    const weaker = isWeakerClaim(protection, device.protection);
    lines.push(
      `  changed  its request ${requestDigest({ ...device, ...proposed }, undefined)} differs from the approved one${isOther ? `, and says that the key is ${protectionName(protection)}${weaker ? ": weaker" : ""}` : ""}; if that is right, run:`,
      `           sallyport-hub devices approve ${id} ${fingerprint} --changed${weaker ? " --weaker" : ""}`,
    );
  }
  if (connection !== undefined) {
    const { sinceMs, protocol, cipher, group, serial } = connection;
    lines.push(`  tunnel   since ${iso(sinceMs)}, ${protocol}, ${cipher}, ${group}, certificate ${serial}`);
  }
  return lines.map((line) => printed(line)).join("\n");
}

/** A key that waits, or is approved beside the one in force. */
export function mayReplace({ state, overlapUntilMs }: Device): boolean {
  return state === "pending" || (state === "approved" && overlapUntilMs !== undefined);
}

/** [ID-95] */
function twoBoardsLines(device: Device, other: Device, what: string): readonly string[] {
  const claim = claimOf(device, other);
  if (claim === undefined || device.provenBy === other.fingerprint) return [];
  return [
    `  ${claim} this id: ${what} is ${boardText(boardOf(other))}; this one is ${boardText(boardOf(device))}`,
    `           if both are in use, ${OWN_ID}`,
  ];
}

/** [ID-62] [ID-64] */
function replacementLines(device: Device, inForce: Device): readonly string[] {
  const { overlapUntilMs, provenBy, protection } = device;
  const old = `${protectionName(inForce.protection)} key ${inForce.fingerprint}`;
  const until = overlapUntilMs === undefined ? "" : iso(overlapUntilMs);
  if (overlapUntilMs !== undefined && overlapUntilMs >= Date.now())
    return [`  replaces ${old} at its first connection, until ${until} at the latest`];
  const weaker = isWeakerClaim(protection, inForce.protection) ? ": weaker" : "";
  const proven = provenBy === inForce.fingerprint ? "; the device has asked with both keys" : "";
  const twoBoards = twoBoardsLines(device, inForce, "in force");
  const lapsed = overlapUntilMs === undefined ? "" : `; it has not connected until ${until}`;
  return [
    ...twoBoards,
    `  replaces ${old} by a ${protectionName(protection)} key${weaker}${proven}${lapsed}; if that is right, run:`,
    `           sallyport-hub ${replaceCommand(device, inForce)} --request ${requestDigest(device, inForce.fingerprint)}`,
  ];
}

/** [ID-94] */
const MAC_ALONE = "  (the id is a MAC alone, which other boards may have: compare the board)";

/**
 * [ID-31] What an approval binds to an id and a key: what keeps it [ID-60], the board's names, and
 * the audit key.
 */
export function boundLines(device: Device): readonly [kept: string, board: string, audit: string] {
  const { serialNumber, uris, auditKey, protection } = device;
  return [
    `  kept     ${protection === undefined ? "unknown, its request does not say" : `${protection}, says the device`}`,
    printed(`  board    ${serialNumber ?? "no serial"}  ${uris.join(" ")}${isMacAlone(device) ? MAC_ALONE : ""}`),
    `  audit    ${auditKeyFingerprint(auditKey) ?? "no key in the request, so its log cannot be witnessed"}`,
  ];
}

/** [ID-26] What an approved device has changed: the values in force, and those of its request. */
export function changeLines(known: Device, proposed: Pick<Device, "serialNumber" | "uris" | "auditKey" | "protection">): string {
  const rows = [
    ["board", known.serialNumber ?? "no serial", proposed.serialNumber ?? "no serial"],
    ["names", known.uris.join(" ") || "none", proposed.uris.join(" ") || "none"],
    ["audit", auditKeyText(known.auditKey), auditKeyText(proposed.auditKey)],
    ["kept", protectionName(known.protection), protectionName(proposed.protection)],
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
