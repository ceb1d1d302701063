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

function stateFaults(inputs: DeviceStatusInputs): FaultReport[] {
  const { warden, tunnel, without = [] } = inputs;
  const faults = [...certificateFaults(inputs), ...enrolmentFaults(inputs)];
  // [TUN-74] why there is no connection
  if (tunnel.lastFault !== undefined && tunnel.state !== "connected") faults.push(tunnel.lastFault);
  if ("value" in warden) {
    const { clock, audit } = warden.value;
    if (clock.state === "unset")
      faults.push({
        code: "time.out-of-range",
        message: without.includes("time")
          ? "the clock is not set, and the hub has no time service: set it, or let the machine have one (NTP)"
          : "the clock is not set; it is set from the hub's signed time once the hub answers",
      });
    if (audit.dropped > 0)
      faults.push({
        code: "audit.full",
        message: `${audit.dropped} audit records were dropped because the log or its disk took none; ${without.includes("witness") ? "the hub has no witness, so nothing may be removed: give the log more room" : "let the hub witness the trail"}`,
      });
  }
  if (tunnel.spool.dropped > 0)
    faults.push({
      code: "spool.full",
      message: `${tunnel.spool.dropped} messages to the hub were dropped: no space, too old, or the hub never takes them`,
    });
  if (tunnel.spool.setAside !== undefined)
    faults.push({
      code: "spool.too-large",
      message: `${tunnel.spool.setAside} messages that the hub never takes are set aside; see docs/operations.md, "Messages set aside"`,
    });
  return faults;
}

/** The clock may be the one that is wrong, so both are named. [TUN-72] */
function certificateFaults({ warden, certificate, nowMs }: DeviceStatusInputs): FaultReport[] {
  if (certificate === undefined) return [];
  const isClockSet = "value" in warden && warden.value.clock.state !== "unset";
  const early =
    "the device certificate begins later than this clock says; the device asks the hub for the time and for another certificate";
  if (isClockSet && nowMs < certificate.notBeforeMs) return [{ code: "x509.invalid", message: early }];
  if (certificate.state !== "expired") return [];
  const why = nowMs >= certificate.notAfterMs ? "has expired" : "is not accepted by the hub any more";
  return [{ code: "x509.invalid", message: `the device certificate ${why}; the device enrols again by itself` }];
}

function enrolmentFaults({ enrolment }: DeviceStatusInputs): FaultReport[] {
  if (enrolment?.state !== "denied") return [];
  if (enrolment.lastFault?.code !== "enrol.revoked")
    return [{ code: "enrol.denied", message: "the hub denies this device: approve its id and key fingerprint there" }];
  const message = "the hub has revoked this device's key, and lets it in no more; only an operator there can say why";
  return [{ code: "enrol.revoked", message }];
}
