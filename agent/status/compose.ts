// The composition of the device status from the states of the agent and the warden. Pure.
import type { BirthRecord, DeviceIdentity, Fingerprint, Protection } from "../../hal/format/identity.ts";
import type { VitalSigns } from "../../hal/ports.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import type { DeviceStatus, KeyUpgradeStatus, TunnelStatus } from "./format.ts";
import { troublesOf } from "./troubles.ts";

/** A value that was read, or the fault that prevented it. */
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
  /** Undefined until the warden has reported it. */
  readonly identity: DeviceIdentity | undefined;
  readonly key:
    | {
        readonly protection: Protection;
        readonly fingerprint: Fingerprint;
        readonly note?: string;
        readonly upgrade?: KeyUpgradeStatus | undefined;
      }
    | undefined;
  /** Undefined until the warden has reported it, and before the first key. */
  readonly birth?: BirthRecord | undefined;
  readonly certificate: CertificateFacts | undefined;
  readonly enrolment: DeviceStatus["enrolment"];
  readonly tunnel: TunnelStatus;
  readonly warden: ReadResult<WardenResult<"status.read">>;
  /** What the hub's anchors say that it has not. */
  readonly without?: NonNullable<DeviceStatus["without"]>;
  readonly vitals: ReadResult<VitalSigns>;
  /**
   * Further faults, such as a conflict of birth records, a console without its port, a trail that
   * is full.
   */
  readonly faults: readonly FaultReport[];
}

/** The bound of texts in `deviceStatusSchema`. */
const TEXT_CHARACTERS_MAX = 256;
const YEAR_9999_MS = Date.UTC(9999, 11, 31);

/**
 * @returns a status that `deviceStatusSchema` accepts for all inputs: texts are printable and
 *   clipped, numbers are whole and not negative.
 */
export function composeDeviceStatus(inputs: DeviceStatusInputs): DeviceStatus {
  const { identity, key, birth, certificate, enrolment } = inputs;
  const warden = "value" in inputs.warden ? inputs.warden.value : undefined;
  return {
    v: 1,
    program: text(inputs.program),
    at: timestamp(inputs.nowMs),
    life: inputs.life,
    ...(identity && {
      device: { id: identity.id, source: identity.source, ...(identity.model !== undefined && { model: text(identity.model) }) },
    }),
    ...(key && {
      key: {
        protection: key.protection,
        fingerprint: key.fingerprint,
        ...(key.note !== undefined && { note: text(key.note) }),
        ...(key.upgrade !== undefined && { upgrade: key.upgrade }),
      },
    }),
    ...(birth && { birth: { protection: birth.protection, fingerprint: birth.keyFingerprint } }),
    ...(certificate && { certificate: certificateOf(certificate) }),
    ...(enrolment && { enrolment }),
    tunnel: inputs.tunnel,
    ...(warden && { audit: warden.audit, clock: warden.clock }),
    ...(inputs.without !== undefined && inputs.without.length > 0 && { without: [...inputs.without] }),
    ...(warden?.auditKey !== undefined && { auditKey: warden.auditKey }),
    ...(warden?.tpm && { tpm: warden.tpm }),
    ...(warden?.lockdown && { lockdown: warden.lockdown }),
    ...(warden?.update && { update: warden.update }),
    system: systemOf(inputs.vitals, warden?.residentBytes),
    troubles: troublesOf(inputs),
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

/** Zeros when the vital signs are unknown: no machine has 0 bytes, and a trouble has the reason. */
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
  return printable(value, TEXT_CHARACTERS_MAX);
}

function count(value: number): number {
  return Math.min(Math.max(0, Math.floor(value)), Number.MAX_SAFE_INTEGER);
}

/** RFC 3339 has years of four digits; times beyond are clipped. */
function timestamp(unixMs: number): string {
  return new Date(Math.min(Math.max(unixMs, 0), YEAR_9999_MS)).toISOString();
}
