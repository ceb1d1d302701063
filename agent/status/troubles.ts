// The troubles of the device status: what does not work, as text for people. Each begins with a
// fault code, which scripts and the redaction for guests use. Pure.
import type { FaultReport } from "../../hal/format/fault.ts";
import { printable } from "../../hal/format/text.ts";
import type { DeviceStatusInputs } from "./compose.ts";

/** The bounds of `deviceStatusSchema`. */
const TROUBLES_MAX = 32;
const TROUBLE_CHARACTERS_MAX = 512;

/**
 * @returns the reported faults, then those that follow from the states. When there are too many,
 *   the last entry counts the rest.
 */
export function troublesOf(inputs: DeviceStatusInputs): string[] {
  const faults = [...inputs.faults, ...readFaults(inputs), ...stateFaults(inputs)];
  const lines = faults.map(({ code, message }) => printable(`${code}: ${message}`, TROUBLE_CHARACTERS_MAX));
  if (lines.length <= TROUBLES_MAX) return lines;
  return [...lines.slice(0, TROUBLES_MAX - 1), `and ${lines.length - TROUBLES_MAX + 1} more`];
}

function readFaults({ warden, vitals }: DeviceStatusInputs): FaultReport[] {
  const faults: FaultReport[] = [];
  if ("fault" in warden) faults.push(prefixed(warden.fault, "the warden does not answer"));
  else faults.push(...(warden.value.troubles ?? []));
  if ("fault" in vitals) faults.push(prefixed(vitals.fault, "the machine's vital signs cannot be read"));
  return faults;
}

function prefixed(fault: FaultReport, what: string): FaultReport {
  return { code: fault.code, message: `${what}: ${fault.message}` };
}

function stateFaults({ warden, certificate, tunnel, enrolment, without = [] }: DeviceStatusInputs): FaultReport[] {
  const faults: FaultReport[] = [];
  if (certificate?.state === "expired")
    faults.push({ code: "x509.invalid", message: "the device certificate has expired; the device enrols again by itself" });
  if (enrolment?.state === "denied")
    faults.push({ code: "enrol.denied", message: "the hub denies this device: approve its id and key fingerprint there" });
  if ("value" in warden) {
    const { clock, audit } = warden.value;
    if (clock.state === "unset")
      faults.push({
        code: "time.out-of-range",
        message: without.includes("time")
          ? "the clock is not set, and the hub has no time service: set it, or let the machine have one (NTP)"
          : "the clock is not set; it is set from the hub at the first contact",
      });
    if (audit.dropped > 0)
      faults.push({
        code: "audit.full",
        message: `${audit.dropped} audit records were dropped for lack of space; ${without.includes("witness") ? "the hub has no witness, so nothing may be removed: give the log more room" : "let the hub witness the trail"}`,
      });
  }
  if (tunnel.spool.dropped > 0)
    faults.push({
      code: "spool.full",
      message: `${tunnel.spool.dropped} messages to the hub were dropped for lack of space or because of their age`,
    });
  return faults;
}
