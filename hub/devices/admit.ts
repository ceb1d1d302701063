// Admission of a client: decided by its certificate and the store alone, never by what the client
// claims. [TUN-3] [TUN-11]
import type { X509Certificate } from "node:crypto";
import * as v from "valibot";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";
import { keyFingerprint } from "../../provisioning/x509/format/index.ts";
import { CLIENT_AUTH_DOTTED } from "../authority/index.ts";
import type { Store } from "../store/index.ts";

export const REFUSALS = {
  "no-certificate": "it presented no certificate",
  untrusted: "its certificate is not from this hub's authority",
  "wrong-usage": "its certificate is not for client authentication",
  "not-yet-valid": "its certificate is not valid yet",
  expired: "its certificate has expired",
  "bad-name": "its certificate's CN is not a device id",
  unknown: "no operator has approved this id with this key",
  revoked: "its certificate or its key was revoked",
} as const;
export type AdmissionRefusal = keyof typeof REFUSALS;

export type DeviceAdmission =
  | { readonly admitted: true; readonly deviceId: DeviceId; readonly serial: string }
  | { readonly admitted: false; readonly reason: AdmissionRefusal; readonly claimed: string | undefined };

/**
 * Checks signature, issuer, usage, dates, name, approval and revocation. All of them are checked
 * each time: a resumed TLS session brings a certificate that was checked long ago.
 * @param authority the only accepted issuer.
 */
export function admit(
  certificate: X509Certificate | undefined,
  authority: X509Certificate,
  store: Store,
  nowMs: number,
): DeviceAdmission {
  if (certificate === undefined) return { admitted: false, reason: "no-certificate", claimed: undefined };
  const claimed = commonName(certificate);
  const refuse = (reason: AdmissionRefusal): DeviceAdmission => ({ admitted: false, reason, claimed });
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) return refuse("untrusted");
  if (certificate.ca || !certificate.keyUsage.includes(CLIENT_AUTH_DOTTED)) return refuse("wrong-usage");
  const id = v.safeParse(deviceIdSchema, claimed);
  if (!id.success) return refuse("bad-name");
  const reason = standing(certificate, id.output, store, nowMs);
  if (reason !== undefined) return refuse(reason);
  return { admitted: true, deviceId: id.output, serial: certificate.serialNumber.toLowerCase() };
}

/**
 * Checks what can change during a connection: dates, approval and revocation.
 * @returns why this device may no longer be connected, or undefined.
 */
export function standing(certificate: X509Certificate, id: DeviceId, store: Store, nowMs: number): AdmissionRefusal | undefined {
  if (nowMs < certificate.validFromDate.getTime()) return "not-yet-valid";
  if (nowMs > certificate.validToDate.getTime()) return "expired";
  const fingerprint = keyFingerprint(certificate.publicKey.export({ format: "der", type: "spki" }));
  const device = store.devices.find(id, fingerprint);
  const issued = store.certificates.find(certificate.serialNumber.toLowerCase());
  if (device?.state === "revoked" || issued?.revokedAtMs !== undefined) return "revoked";
  return device?.state === "approved" ? undefined : "unknown";
}

/** The only CN of the subject. A subject with two has none that counts. */
function commonName(certificate: X509Certificate): string | undefined {
  const names = certificate.subject.split("\n").filter((line) => line.startsWith("CN="));
  return names.length === 1 ? names[0]?.slice("CN=".length) : undefined;
}
