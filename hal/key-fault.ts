// What it means that TLS does not take the device's certificate and key.
import { Fault } from "./fault.ts";

/**
 * Pure. OpenSSL's tpm2 provider names itself in its errors. It says "cannot load key" for full
 * slots and "authorization failure" for a password in the way; what is so is found by signing.
 * @param cause what making a TLS context threw.
 */
export function keyFault(action: string, cause: unknown): Fault {
  if (!(cause instanceof Error && "library" in cause && cause.library === "tpm2"))
    return new Fault("key.mismatch", `${action}: they cannot be used together`, { cause });
  const reason = "reason" in cause ? String(cause.reason) : cause.message;
  const advice = "the key is not lost, and it is tried again";
  return new Fault("key.tpm-unavailable", `${action}: the TPM does not load the key now (${reason}); ${advice}`, { cause });
}
