// Admission of a client: decided by its certificate and the store alone, never by what the client
// claims. [TUN-3] [TUN-11]
import type { X509Certificate } from "node:crypto";
import { type DeviceId, deviceIdSchema, type Fingerprint } from "../../hal/format/identity.ts";
import { keyFingerprint } from "../../provisioning/x509/format/index.ts";
import { CLIENT_AUTH_DOTTED } from "../authority/index.ts";
import { CERTIFICATES_REMEMBERED_MAX } from "../limits.ts";
import type { Device, Store } from "../store/index.ts";
import { tryCheck } from "../../hal/format/schema.ts";

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

/** A device that may connect, and what of its certificate is judged again while it is connected. */
export interface AdmittedDevice {
  readonly admitted: true;
  readonly deviceId: DeviceId;
  readonly serial: string;
  readonly fingerprint: Fingerprint;
  readonly notAfterMs: number;
  /** [ID-64] True for a key beside the one in force, before its first connection. */
  readonly succeeds: boolean;
}

export type DeviceAdmission =
  | AdmittedDevice
  | { readonly admitted: false; readonly reason: AdmissionRefusal; readonly claimed: string | undefined };

export type ShownIdentity =
  | { readonly valid: true; readonly certificate: X509Certificate; readonly deviceId: DeviceId }
  | { readonly valid: false; readonly reason: AdmissionRefusal; readonly claimed: string | undefined };

/**
 * The ids of certificates that were found good, their dates aside, by authority and by hash of the
 * certificate. Devices show the same one again, and each connection is judged twice.
 */
const found = new WeakMap<X509Certificate, Map<string, DeviceId>>();

/**
 * Checks what the certificate itself says: signature, issuer, usage, dates and name.
 * @param authority the only accepted issuer.
 */
export function identify(certificate: X509Certificate | undefined, authority: X509Certificate, nowMs: number): ShownIdentity {
  if (certificate === undefined) return { valid: false, reason: "no-certificate", claimed: undefined };
  const identity = undatedIdentity(certificate, authority);
  if (!identity.valid) return identity;
  const reason = outsideDates(certificate, nowMs);
  return reason === undefined ? identity : { valid: false, reason, claimed: identity.deviceId };
}

function undatedIdentity(certificate: X509Certificate, authority: X509Certificate): ShownIdentity {
  const good = found.get(authority) ?? new Map<string, DeviceId>();
  found.set(authority, good);
  const hash = certificate.fingerprint256;
  const known = good.get(hash);
  if (known !== undefined) return { valid: true, certificate, deviceId: known };
  const claimed = commonName(certificate);
  const refuse = (reason: AdmissionRefusal): ShownIdentity => ({ valid: false, reason, claimed });
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) return refuse("untrusted");
  if (certificate.ca || !certificate.keyUsage.includes(CLIENT_AUTH_DOTTED)) return refuse("wrong-usage");
  const deviceId = tryCheck(deviceIdSchema, claimed);
  if (deviceId === undefined) return refuse("bad-name");
  good.set(hash, deviceId);
  const [oldest] = good.keys();
  if (good.size > CERTIFICATES_REMEMBERED_MAX && oldest !== undefined) good.delete(oldest);
  return { valid: true, certificate, deviceId };
}

/**
 * Checks what {@link identify} does, and approval and revocation. All of them are checked each
 * time: a resumed TLS session brings a certificate that was checked long ago.
 * @throws Fault `hub.store-failed`.
 */
export async function admit(
  certificate: X509Certificate | undefined,
  authority: X509Certificate,
  store: Store,
  nowMs: number,
): Promise<DeviceAdmission> {
  const shown = identify(certificate, authority, nowMs);
  if (!shown.valid) return { admitted: false, reason: shown.reason, claimed: shown.claimed };
  const { deviceId } = shown;
  const { publicKey, serialNumber, validToDate } = shown.certificate;
  const serial = serialNumber.toLowerCase();
  const fingerprint = keyFingerprint(publicKey.export({ format: "der", type: "spki" }));
  const [device, issued] = await Promise.all([store.devices.find(deviceId, fingerprint), store.certificates.find(serial)]);
  const refuse = (reason: AdmissionRefusal): DeviceAdmission => ({ admitted: false, reason, claimed: deviceId });
  if (device?.state === "revoked" || issued?.revokedAtMs !== undefined) return refuse("revoked");
  if (device?.state !== "approved" || isLapsed(device, nowMs)) return refuse("unknown");
  const succeeds = device.overlapUntilMs !== undefined;
  return { admitted: true, deviceId, serial, fingerprint, notAfterMs: validToDate.getTime(), succeeds };
}

/**
 * [ID-64] Whether a key that was approved beside the one in force has made no connection in time.
 * The one in force stays then.
 */
export function isLapsed({ overlapUntilMs }: Pick<Device, "overlapUntilMs">, nowMs: number): boolean {
  return overlapUntilMs !== undefined && nowMs > overlapUntilMs;
}

/** Judges a device that was admitted before: why it may no longer be connected, or undefined. */
export type StandingCheck = (device: AdmittedDevice) => AdmissionRefusal | undefined;

/**
 * Reads at once what can change during connections: approvals and revocations.
 * @throws Fault `hub.store-failed`.
 */
export async function readStandings(store: Store, nowMs: number): Promise<StandingCheck> {
  const [pairs, serials] = await Promise.all([store.devices.approvedPairs(), store.certificates.revoked(nowMs)]);
  const approved = new Set(pairs.map(({ id, fingerprint }) => `${id} ${fingerprint}`));
  const revoked = new Set(serials);
  return ({ deviceId, serial, fingerprint, notAfterMs }) => {
    if (nowMs > notAfterMs) return "expired";
    if (revoked.has(serial)) return "revoked";
    return approved.has(`${deviceId} ${fingerprint}`) ? undefined : "unknown";
  };
}

/**
 * Judges one device that was admitted before.
 * @throws Fault `hub.store-failed`.
 */
export async function readStanding(
  store: Store,
  { deviceId, serial, fingerprint, notAfterMs }: AdmittedDevice,
  nowMs: number,
): Promise<AdmissionRefusal | undefined> {
  const [device, issued] = await Promise.all([store.devices.find(deviceId, fingerprint), store.certificates.find(serial)]);
  if (nowMs > notAfterMs) return "expired";
  if (device?.state === "revoked" || issued?.revokedAtMs !== undefined) return "revoked";
  return device?.state === "approved" ? undefined : "unknown";
}

function outsideDates(certificate: X509Certificate, nowMs: number): AdmissionRefusal | undefined {
  if (nowMs < certificate.validFromDate.getTime()) return "not-yet-valid";
  return nowMs > certificate.validToDate.getTime() ? "expired" : undefined;
}

/** The only CN of the subject. A subject with two has none that counts. */
function commonName(certificate: X509Certificate): string | undefined {
  const names = certificate.subject.split("\n").filter((line) => line.startsWith("CN="));
  return names.length === 1 ? names[0]?.slice("CN=".length) : undefined;
}
