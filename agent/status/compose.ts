// The snapshot, put together from what the parts know. Pure.
import type { DeviceIdentity, Fingerprint, Protection } from "../../hal/format/identity.ts";
import type { VitalSigns } from "../../hal/ports.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import type { DeviceStatus, TunnelStatus } from "./format.ts";
import { plainText } from "./text.ts";
import { troublesOf } from "./troubles.ts";

/** What a part said, or why it could not. */
export type ReadResult<T> = { readonly value: T } | { readonly fault: FaultReport };

export interface CertificateFacts {
  readonly serial: string;
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** When renewal starts, Unix milliseconds. */
  readonly renewAtMs: number | undefined;
  readonly state: NonNullable<DeviceStatus["certificate"]>["state"];
}

export interface DeviceStatusInputs {
  /** Name and version, such as `sallyport-agent/0.1.0`. */
  readonly program: string;
  /** Wall clock, Unix milliseconds. */
  readonly nowMs: number;
  readonly life: DeviceStatus["life"];
  /** Undefined until the warden has said who the device is. */
  readonly identity: DeviceIdentity | undefined;
  readonly key: { readonly protection: Protection; readonly fingerprint: Fingerprint; readonly note?: string } | undefined;
  readonly certificate: CertificateFacts | undefined;
  readonly enrolment: DeviceStatus["enrolment"];
  readonly tunnel: TunnelStatus;
  readonly warden: ReadResult<WardenResult<"status.read">>;
  readonly vitals: ReadResult<VitalSigns>;
  /** What else does not work: birth record conflict, console without its port, operations without an audit trail. */
  readonly faults: readonly FaultReport[];
}

/** Texts of a snapshot are bounded by its schema. */
const TEXT_CHARACTERS_MAX = 256;
const YEAR_9999_MS = Date.UTC(9999, 11, 31);

/** @returns a snapshot that its own schema accepts, whatever the parts held: texts cut and cleaned, numbers whole and not below zero. */
export function composeDeviceStatus(parts: DeviceStatusInputs): DeviceStatus {
  const { identity, key, certificate, enrolment } = parts;
  const warden = "value" in parts.warden ? parts.warden.value : undefined;
  return {
    v: 1,
    program: text(parts.program),
    at: timestamp(parts.nowMs),
    life: parts.life,
    ...(identity && {
      device: { id: identity.id, source: identity.source, ...(identity.model !== undefined && { model: text(identity.model) }) },
    }),
    ...(key && {
      key: {
        protection: key.protection,
        fingerprint: key.fingerprint,
        ...(key.note !== undefined && { note: text(key.note) }),
      },
    }),
    ...(certificate && { certificate: certificateOf(certificate) }),
    ...(enrolment && { enrolment }),
    tunnel: parts.tunnel,
    ...(warden && { audit: warden.audit, clock: warden.clock }),
    ...(warden?.lockdown && { lockdown: warden.lockdown }),
    ...(warden?.update && { update: warden.update }),
    system: systemOf(parts.vitals, warden?.residentBytes),
    troubles: troublesOf(parts),
  };
}

function certificateOf(facts: CertificateFacts): NonNullable<DeviceStatus["certificate"]> {
  return {
    serial: text(facts.serial),
    issuer: text(facts.issuer),
    notBefore: timestamp(facts.notBeforeMs),
    notAfter: timestamp(facts.notAfterMs),
    state: facts.state,
    ...(facts.renewAtMs !== undefined && { renewAt: timestamp(facts.renewAtMs) }),
  };
}

/** Zeros where the machine does not say: a total of 0 bytes is no machine, and the trouble beside it says why. */
function systemOf(vitals: ReadResult<VitalSigns>, wardenResidentBytes: number | undefined): DeviceStatus["system"] {
  const known = "value" in vitals ? vitals.value : undefined;
  return {
    uptimeS: count(known?.uptimeS ?? 0),
    load1: known?.load1 ?? 0,
    memoryAvailableBytes: count(known?.memoryAvailableBytes ?? 0),
    memoryTotalBytes: count(known?.memoryTotalBytes ?? 0),
    agentResidentBytes: count(known?.residentBytes ?? 0),
    ...(wardenResidentBytes !== undefined && { wardenResidentBytes: count(wardenResidentBytes) }),
  };
}

function text(value: string): string {
  return plainText(value, TEXT_CHARACTERS_MAX);
}

function count(value: number): number {
  return Math.min(Math.max(0, Math.floor(value)), Number.MAX_SAFE_INTEGER);
}

/** Four-digit years only: a clock or a certificate from beyond is shown at the edge. */
function timestamp(unixMs: number): string {
  return new Date(Math.min(Math.max(unixMs, 0), YEAR_9999_MS)).toISOString();
}
