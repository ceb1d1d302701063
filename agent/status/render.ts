// The device status as text for people: one screen of a serial terminal, also used by the command
// line. Pure, ASCII. [CON-11]
import type { DeviceStatus } from "./format.ts";
import { lockdownRows } from "./lockdown-text.ts";
import { row, SCREEN_COLUMNS_MAX } from "./rows.ts";
import { serialText } from "./serial-text.ts";
import { updateRows } from "./update-text.ts";
import { counted, distance, duration, minute, size } from "./units.ts";

/** A terminal has 24 lines; the command and the prompt need one each. */
export const STATUS_LINES_MAX = 22;

/**
 * @returns at most 22 lines of 79 columns, each with a newline: 1,760 bytes, which take 0.15 s at
 *   115,200 baud. Troubles that do not fit are counted; `status --json` has them all.
 */
export function renderStatus(status: DeviceStatus): string {
  const facts = [
    heading(status),
    ...device(status),
    ...key(status),
    ...certificate(status),
    ...tunnel(status),
    ...stores(status),
    ...(status.lockdown === undefined ? [] : lockdownRows(status.lockdown)),
    ...(status.update === undefined ? [] : updateRows(status.update)),
    ...system(status),
  ];
  const troubles = trouble(status, STATUS_LINES_MAX - facts.length);
  return [...facts, ...troubles].map((line) => `${serialText(line, SCREEN_COLUMNS_MAX).trimEnd()}\n`).join("");
}

function heading({ program, at, life }: DeviceStatus): string {
  const left = `${serialText(program, 32)}: ${life.toUpperCase()}`;
  const right = `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`;
  return left + right.padStart(SCREEN_COLUMNS_MAX - left.length);
}

function device({ device, enrolment }: DeviceStatus): string[] {
  const rows = [
    device === undefined
      ? row("device", "not known yet")
      : row("device", `${device.id} (${SOURCES[device.source]})`, device.model),
  ];
  if (enrolment !== undefined && enrolment.state !== "done") {
    rows.push(row("enrol", ENROLMENTS[enrolment.state]));
    if (enrolment.lastFault !== undefined) rows.push(row("", `${enrolment.lastFault.code}: ${enrolment.lastFault.message}`));
  }
  return rows;
}

const SOURCES = {
  commissioned: "given at commissioning",
  serial: "board serial",
  mac: "built-in MAC",
  hash: "hash of the board serial or MAC",
} as const;

const ENROLMENTS = {
  "waiting-for-approval": "waiting for the operator to approve this id and key fingerprint",
  retrying: "trying again",
  denied: "DENIED by the hub",
} as const;

function key({ key }: DeviceStatus): string[] {
  if (key === undefined) return [row("key", "none yet")];
  const where = key.protection === "tpm" ? "in the TPM" : "in a file, NOT in a TPM";
  const rows = [row("key", key.note === undefined ? where : `${where}: ${key.note}`), row("", key.fingerprint)];
  const { upgrade } = key;
  if (upgrade !== undefined)
    rows.push(row("", `upgrade (${upgrade.to}): ${UPGRADES[upgrade.state]}`, upgrade.lastFault && upgrade.lastFault.code));
  return rows;
}

const UPGRADES = {
  possible: "POSSIBLE, waits for an operator's order key.upgrade",
  ordered: "ordered, makes the new key",
  requesting: "asks the hub for the certificate of the new key",
  proving: "connects with the new key",
  replacing: "has the new key recorded",
  removing: "removes the old key",
} as const;

function certificate({ certificate, at }: DeviceStatus): string[] {
  if (certificate === undefined) return [row("cert", "none yet")];
  const { state, notAfter, renewAt, serial, issuer } = certificate;
  const nowMs = Date.parse(at);
  const end = `${state === "expired" ? "EXPIRED" : "valid until"} ${minute(notAfter)} (${distance(Date.parse(notAfter), nowMs)})`;
  const renewal = state === "fresh" && renewAt !== undefined ? `renewed ${distance(Date.parse(renewAt), nowMs)}` : state;
  return [
    row("cert", end, state === "expired" ? undefined : renewal),
    row("", `serial ${serialText(serial, 40)}`, `issuer ${issuer}`),
  ];
}

function tunnel({ tunnel }: DeviceStatus): string[] {
  const { hub, peer, tls, cipher, group, mqtt, lastFault } = tunnel;
  const rows = [row("tunnel", tunnelState(tunnel), counted(tunnel.connections, "connection"))];
  if (hub !== undefined) rows.push(row("", `hub ${hub}`, peer === undefined ? undefined : `peer ${peer}`));
  const session = [tls, cipher, group, mqtt === undefined ? undefined : `MQTT ${mqtt}`];
  if (session.some((part) => part !== undefined)) rows.push(row("", ...session));
  if (lastFault !== undefined && tunnel.state !== "connected") rows.push(row("", `${lastFault.code}: ${lastFault.message}`));
  return rows;
}

function tunnelState({ state, connectedForS, retryInS }: DeviceStatus["tunnel"]): string {
  switch (state) {
    case "connected":
      return connectedForS === undefined ? "up" : `up for ${duration(connectedForS)}`;
    case "waiting":
      return retryInS === undefined ? "DOWN, will try again" : `DOWN, next try in ${duration(retryInS)}`;
    case "connecting":
      return "DOWN, connecting now";
    case "idle":
      return "not started";
  }
}

function stores({ tunnel: { spool }, audit, auditKey }: DeviceStatus): string[] {
  return [
    row("spool", `${counted(spool.messages, "message")} waiting`, size(spool.bytes), `${spool.dropped} dropped`),
    audit === undefined
      ? row("audit", "not known: the warden does not answer")
      : row("audit", counted(audit.size, "record"), `${audit.witnessedSize} witnessed by the hub`, `${audit.dropped} dropped`),
    ...(auditKey === undefined ? [] : [row("", auditKey)]),
  ];
}

const CLOCKS = {
  unset: "NOT SET",
  unverified: "plausible, not checked against the hub",
  synced: "set from the hub's signed time",
} as const;

function system({ clock, system }: DeviceStatus): string[] {
  const memory =
    system.memoryTotalBytes === 0 ? "not known" : `${size(system.memoryAvailableBytes)} of ${size(system.memoryTotalBytes)} free`;
  const warden = system.wardenResidentBytes === undefined ? undefined : `warden ${size(system.wardenResidentBytes)}`;
  return [
    row("clock", clock === undefined ? "not known: the warden does not answer" : CLOCKS[clock.state]),
    row("memory", memory, `agent ${size(system.agentResidentBytes)}`, warden),
    row("machine", `up ${duration(system.uptimeS)}`, `load ${system.load1.toFixed(2)}`),
  ];
}

function trouble({ troubles }: DeviceStatus, linesMax: number): string[] {
  if (troubles.length === 0) return [row("trouble", "none")];
  const shown = troubles.length <= linesMax ? troubles : troubles.slice(0, linesMax - 1);
  const rest = troubles.length - shown.length;
  const more =
    rest === 0
      ? []
      : [`${shown.length === 0 ? "" : "and "}${rest} ${shown.length === 0 ? "of them" : "more"}: see status --json`];
  return [...shown, ...more].map((text, index) => row(index === 0 ? "trouble" : "", text));
}
