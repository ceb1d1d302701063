// The identity manager's part of the device status. Pure.
import { X509Certificate } from "node:crypto";
import type { Fault } from "../../hal/fault.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { BirthRecord, DeviceIdentity } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import type { DeviceCertificate, Renewal } from "../../provisioning/certificate/index.ts";
import type { DeviceStatus } from "../status/format.ts";
import { besideTpm, type UpgradeFacts, upgradeStatusOf } from "./upgrade-status.ts";
import type { CertificateFacts, DeviceStatusInputs } from "../status/index.ts";

/** Of a fault's message in the status, UTF-16 code units. */
const MESSAGE_CHARACTERS_MAX = 2_048;

export type IdentityStatus = Pick<DeviceStatusInputs, "identity" | "key" | "birth" | "certificate" | "enrolment"> & {
  readonly faults: readonly FaultReport[];
};

export interface IdentityFacts {
  readonly identity: DeviceIdentity | undefined;
  readonly birth: BirthRecord | undefined;
  readonly key: { readonly key: DeviceKey; readonly note: string | undefined } | undefined;
  readonly current: DeviceCertificate | undefined;
  readonly renewal: Renewal | undefined;
  readonly fault: Fault | undefined;
  readonly enrolmentFault: Fault | undefined;
  readonly requested: boolean;
  readonly upgrade: UpgradeFacts;
}

export function describeIdentity(facts: IdentityFacts): IdentityStatus {
  const { identity, birth, key, current, renewal } = facts;
  const enrolment = enrolmentOf(facts);
  return {
    identity,
    birth,
    key: key && {
      upgrade: upgradeStatusOf(key.key, facts.upgrade),
      protection: key.key.protection,
      fingerprint: key.key.fingerprint,
      ...(key.note !== undefined && { note: key.note }),
    },
    certificate: current && certificateOf(current, renewal),
    enrolment,
    faults: [facts.fault, renewal?.lastFault(), besideTpm(key?.key, facts.upgrade)].flatMap((fault) =>
      fault === undefined ? [] : [reportOf(fault)],
    ),
  };
}

function certificateOf(current: DeviceCertificate, renewal: Renewal | undefined): CertificateFacts {
  const { serial, notBeforeMs, notAfterMs } = current;
  const issuer = new X509Certificate(current.pem).issuer.split("\n").join(", ");
  const state = renewal?.state();
  const life = state?.at ?? "expired";
  return { serial, issuer, notBeforeMs, notAfterMs, renewAtMs: state?.at === "fresh" ? state.renewAtMs : undefined, state: life };
}

function enrolmentOf({ enrolmentFault, requested, current, renewal }: IdentityFacts): DeviceStatus["enrolment"] {
  if (current !== undefined && renewal !== undefined) return { state: "done" };
  if (enrolmentFault === undefined) return requested ? { state: "retrying" } : undefined;
  const lastFault = reportOf(enrolmentFault);
  switch (enrolmentFault.code) {
    case "enrol.id-taken":
    case "enrol.pending":
      return { state: "waiting-for-approval", lastFault };
    case "enrol.denied":
    case "enrol.revoked":
    case "enrol.unauthorized":
      return { state: "denied", lastFault };
    default:
      return { state: "retrying", lastFault };
  }
}

function reportOf({ code, message }: Fault): FaultReport {
  return { code, message: clip(message, MESSAGE_CHARACTERS_MAX) };
}
