// What does not work, in words for people. Each begins with a fault code, so that a script (and the redaction for guests) can tell them apart. Pure.
import type { FaultReport } from "../../hal/format/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { DeviceStatusInputs } from "./compose.ts";

/** The bounds of the snapshot's schema. */
const TROUBLES_MAX = 32;
const TROUBLE_CHARACTERS_MAX = 512;

/** Faults the parts report, then what their states add up to; the first come first, what is too many is counted in the last. */
export function troublesOf(parts: DeviceStatusInputs): string[] {
  const faults = [...parts.faults, ...heard(parts), ...judged(parts)];
  const lines = faults.map(({ code, message }) => printable(`${code}: ${message}`, TROUBLE_CHARACTERS_MAX));
  if (lines.length <= TROUBLES_MAX) return lines;
  return [...lines.slice(0, TROUBLES_MAX - 1), `and ${lines.length - TROUBLES_MAX + 1} more`];
}

function heard({ warden, vitals }: DeviceStatusInputs): FaultReport[] {
  const faults: FaultReport[] = [];
  if ("fault" in warden) faults.push(told(warden.fault, "the warden does not answer"));
  else faults.push(...(warden.value.troubles ?? []));
  if ("fault" in vitals) faults.push(told(vitals.fault, "the machine's vital signs can't be read"));
  return faults;
}

function told(fault: FaultReport, what: string): FaultReport {
  return { code: fault.code, message: `${what}: ${fault.message}` };
}

function judged({ warden, certificate, tunnel, enrolment }: DeviceStatusInputs): FaultReport[] {
  const faults: FaultReport[] = [];
  if (certificate?.state === "expired")
    faults.push({ code: "x509.invalid", message: "the device certificate has expired; the device enrols again by itself" });
  if (enrolment?.state === "denied")
    faults.push({ code: "enrol.denied", message: "the hub denies this device: approve its id and key fingerprint there" });
  if ("value" in warden) {
    const { clock, audit } = warden.value;
    if (clock.state === "unset")
      faults.push({ code: "time.out-of-range", message: "the clock is not set; it is set from the hub at the first contact" });
    if (audit.dropped > 0)
      faults.push({
        code: "audit.full",
        message: `${audit.dropped} audit records were dropped for want of space; let the hub witness the trail`,
      });
  }
  if (tunnel.spool.dropped > 0)
    faults.push({
      code: "spool.full",
      message: `${tunnel.spool.dropped} messages to the hub were dropped for want of space or for age`,
    });
  return faults;
}
