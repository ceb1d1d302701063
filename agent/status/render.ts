// The device status as text for people: one screen of a serial terminal, also used by the command
// line. Pure, ASCII. [CON-11]
import type { DeviceStatus } from "./format.ts";
import { certificateRows, enrolmentRows, SOURCES } from "./identity-rows.ts";
import { keyRows, tpmRow } from "./key-text.ts";
import { lockdownRows } from "./lockdown-text.ts";
import { row, SCREEN_COLUMNS_MAX } from "./rows.ts";
import { serialText } from "./serial-text.ts";
import { updateRows } from "./update-text.ts";
import { counted, duration, size } from "./units.ts";

/** A terminal has 24 lines; the command and the prompt need one each. */
export const STATUS_LINES_MAX = 22;

/**
 * @returns at most 22 lines of 79 columns, each with a newline: 1,760 bytes, which take 0.15 s at
 *   115,200 baud. Where there is much to tell, the details of certificate and tunnel give way.
 *   Troubles that do not fit are counted; `status --json` has them all.
 */
export function renderStatus(status: DeviceStatus): string {
  const whole = factsOf(status, "whole");
  const facts = whole.length < STATUS_LINES_MAX ? whole : factsOf(status, "brief");
  const troubles = trouble(status, STATUS_LINES_MAX - facts.length);
  return [...facts, ...troubles].map((line) => `${serialText(line, SCREEN_COLUMNS_MAX).trimEnd()}\n`).join("");
}

function factsOf(status: DeviceStatus, form: "whole" | "brief"): string[] {
  const first = form === "brief" ? 1 : undefined;
  return [
    heading(status),
    ...device(status),
    ...keyRows(status),
    ...(status.tpm === undefined ? [] : [tpmRow(status.tpm)]),
    ...certificateRows(status).slice(0, first),
    ...tunnel(status, form),
    ...stores(status),
    ...(status.lockdown === undefined ? [] : lockdownRows(status.lockdown)),
    ...(status.update === undefined ? [] : updateRows(status.update)),
    ...system(status),
  ];
}

function heading({ program, at, life }: DeviceStatus): string {
  const left = `${serialText(program, 32)}: ${life.toUpperCase()}`;
  const right = `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`;
  return left + right.padStart(SCREEN_COLUMNS_MAX - left.length);
}

function device({ device, enrolment }: DeviceStatus): string[] {
  const who = device && row("device", `${device.id} (${SOURCES[device.source]})`, device.model);
  return [who ?? row("device", "not known yet"), ...enrolmentRows(enrolment)];
}

function tunnel({ tunnel }: DeviceStatus, form: "whole" | "brief"): string[] {
  const { hub, peer, tls, cipher, group, mqtt, lastFault } = tunnel;
  const rows = [row("tunnel", tunnelState(tunnel), counted(tunnel.connections, "connection"))];
  if (form === "whole" && hub !== undefined) rows.push(row("", `hub ${hub}`, peer === undefined ? undefined : `peer ${peer}`));
  const session = [tls, cipher, group, mqtt === undefined ? undefined : `MQTT ${mqtt}`];
  if (form === "whole" && session.some((part) => part !== undefined)) rows.push(row("", ...session));
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

function stores({ tunnel: { spool }, audit, auditKey, without = [] }: DeviceStatus): string[] {
  return [
    row("spool", `${counted(spool.messages, "message")} waiting`, size(spool.bytes), `${spool.dropped} dropped`),
    audit === undefined
      ? row("audit", "not known: the warden does not answer")
      : row(
          "audit",
          counted(audit.size, "record"),
          without.includes("witness") ? "NOT PROTECTED: no witness" : `${audit.witnessedSize} witnessed by the hub`,
          `${audit.dropped} dropped`,
        ),
    ...(auditKey === undefined ? [] : [row("", auditKey)]),
  ];
}

const CLOCKS = {
  unset: "NOT SET",
  unverified: "plausible, not checked against the hub",
  synced: "set from the hub's signed time",
} as const;

/** Where the hub has no time service, the clock is nobody's but the machine's. */
function clockText({ clock, without = [] }: DeviceStatus): string {
  if (clock === undefined) return "not known: the warden does not answer";
  if (!without.includes("time")) return CLOCKS[clock.state];
  return clock.state === "unset" ? CLOCKS.unset : "plausible, NOT PROTECTED: the hub has no time service";
}

function system(status: DeviceStatus): string[] {
  const { system } = status;
  const memory =
    system.memoryTotalBytes === 0 ? "not known" : `${size(system.memoryAvailableBytes)} of ${size(system.memoryTotalBytes)} free`;
  const warden = system.wardenResidentBytes === undefined ? undefined : `warden ${size(system.wardenResidentBytes)}`;
  return [
    row("clock", clockText(status)),
    row("memory", memory, `agent ${size(system.agentResidentBytes)}`, warden),
    row("machine", `up ${duration(system.uptimeS)}`, `load ${system.load1.toFixed(2)}`),
  ];
}

/** @param linesMax at least 2. */
function trouble({ troubles }: DeviceStatus, linesMax: number): string[] {
  if (troubles.length === 0) return [row("trouble", "none")];
  const shown = troubles.length <= linesMax ? troubles : troubles.slice(0, linesMax - 1);
  const rest = troubles.length - shown.length;
  const more = rest === 0 ? [] : [`and ${rest} more: see status --json`];
  return [...shown, ...more].map((text, index) => row(index === 0 ? "trouble" : "", text));
}
