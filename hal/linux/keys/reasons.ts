// What a fault of the TPM means for the device's key, in words for an operator. None of them
// advises a reset: a key in a TPM that does not answer now is a healthy key. [ID-42] [ID-48]
import { Fault } from "../../fault.ts";

/** That the device's TPM is not there at all. Anything else may be a passing trouble. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENODEV", "ENXIO", "ECONNREFUSED"]);

/** Pure. Whether the TPM is not there, so far as the way to it tells. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Fault && error.code === "tpm.unreachable" && ABSENT.has(errnoOf(error));
}

/** Of the moment, or mended by somebody who need not know of this device's key. */
const PASSING: ReadonlySet<string> = new Set([
  "tpm.busy",
  "tpm.locked-out",
  "tpm.not-ready",
  "tpm.protocol",
  "tpm.slots-full",
  "tpm.tampered",
  "tpm.timeout",
  "tpm.unreachable",
]);

/** Pure. Whether the TPM is there, and what is in the way may be gone soon. */
export function mayPass(error: unknown): boolean {
  return error instanceof Fault && PASSING.has(error.code) && !isAbsent(error);
}

/**
 * Pure. Why the TPM cannot be used now, for an operator.
 * @param tcti the way to the TPM.
 * @param key whether this is about a key that was made before.
 */
export function reasonFor(fault: Fault, tcti: string, key: "made" | "none"): string {
  const notLost = key === "made" ? "; the key is not lost" : "";
  switch (fault.code) {
    case "tpm.unreachable":
      return unreachable(fault, tcti);
    case "tpm.timeout":
      return `the TPM at "${tcti}" does not answer in time; power-cycle the device`;
    case "tpm.locked-out":
      return `TPM in lockout, wait or clear the lockout: another program tried too many wrong passwords${notLost}`;
    case "tpm.slots-full":
      return `the TPM answers but takes no key now, because other programs fill its slots${notLost}: end them, or restart the device (${fault.message})`;
    default:
      return fault.message;
  }
}

function unreachable(fault: Fault, tcti: string): string {
  const path = /^device:(\/.+)$/u.exec(tcti)?.[1];
  const errno = errnoOf(fault);
  if (path === undefined) return `the TPM at "${tcti}" does not answer: ${fault.message}`;
  if (ABSENT.has(errno)) return `this machine has no TPM device "${path}"; where it has a TPM 2.0, enable it in the firmware`;
  if (errno === "EACCES" || errno === "EPERM")
    return `the TPM device "${path}" may not be opened; add this user to the group that owns it`;
  return `the TPM device "${path}" cannot be used: ${fault.message}`;
}

/** Of the system call that failed; "" when none did. */
function errnoOf({ cause }: Fault): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
}
