// A certificate that the next connection is to prove, and what becomes of it. [ID-9] [ID-68]
import type { DeviceKey } from "../../hal/ports.ts";
import type { DeviceCertificate } from "../../provisioning/certificate/index.ts";

/**
 * What happens to the certificate: the hub accepted or refused the next one, or refused the one in
 * use, or accepted some connection, or it is time to check its dates.
 */
export type CertificateEvent = "accepted" | "rejected" | "refused" | "connected" | "check";

/** A certificate until the hub has accepted or refused it, with the key that it is of. */
export interface CertificateCandidate {
  readonly certificate: DeviceCertificate;
  readonly key: DeviceKey;
  /** A renewed certificate of the recorded key, or the one of a key that is to replace it. */
  readonly of: "renewal" | "upgrade";
}

export function isVerdict(event: CertificateEvent | undefined): event is "accepted" | "rejected" {
  return event === "accepted" || event === "rejected";
}
