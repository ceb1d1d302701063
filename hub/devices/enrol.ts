// What an enrolment request comes to. [ID-7]: a certificate only for an id and a key that an operator approved together.
import { Fault } from "../../hal/fault.ts";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";
import { check } from "../../hal/format/schema.ts";
import { type CertificateRequest, keyFingerprint, parseRequest } from "../../provisioning/x509/format/index.ts";
import { checkpointOrigin, decodeVerifier } from "../../warden/audit/format/index.ts";
import { CERTIFICATE_GAP_RATIO, CERTIFICATES_KEPT_MS, CERTIFICATES_PER_DEVICE_MAX } from "../limits.ts";
import type { Device, IssuedCertificate } from "../store/index.ts";
import { makeRoom } from "./pending-quota.ts";
import type { DeviceContext } from "./context.ts";
import { denied, revoked } from "./refusal.ts";

/** A certificate with less than this share of its life left is not handed out a second time. */
const REUSE_LEFT_RATIO = 1 / 2;

export type EnrolOutcome =
  | { readonly kind: "issued"; readonly certificate: Omit<IssuedCertificate, "revokedAtMs"> }
  | { readonly kind: "pending"; readonly device: Device }
  /** `enrol.mismatch`, `hub.device-denied`, `hub.device-revoked`. */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** Too many certificates of this id are valid. */
  | { readonly kind: "busy" }
  /** [ID-12] The device got one a moment ago. */
  | { readonly kind: "paced"; readonly retryAfterMs: number };

/** A request that holds together. */
export interface Asked {
  readonly id: DeviceId;
  readonly fingerprint: Device["fingerprint"];
  readonly csr: Uint8Array;
  readonly request: CertificateRequest;
}

/** @throws Fault `csr.invalid`: not PKCS#10 of ours, a CN that is no device id, names or an audit key that are not this device's. */
export function readRequest(csr: Uint8Array): Asked {
  const request = parseRequest(csr);
  const id = check(deviceIdSchema, request.commonName, "the request's CN", "csr.invalid");
  const stranger = request.uris.find((uri) => !uri.startsWith("urn:dev:"));
  if (stranger !== undefined)
    throw new Fault("csr.invalid", `the request names "${stranger}": expected urn:dev: names only (RFC 9039)`);
  if (request.auditKey !== undefined) {
    const verifier = auditVerifier(request.auditKey);
    if (verifier.kind !== "ed25519" || verifier.name !== checkpointOrigin(id))
      throw new Fault(
        "csr.invalid",
        `the request's audit key is "${verifier.name}": expected "${checkpointOrigin(id)}" with Ed25519`,
      );
  }
  return { id, fingerprint: keyFingerprint(request.publicKey), csr, request };
}

function auditVerifier(key: string): ReturnType<typeof decodeVerifier> {
  try {
    return decodeVerifier(key);
  } catch (error) {
    throw new Fault("csr.invalid", `the request's audit key is malformed: ${error instanceof Error ? error.message : ""}`, {
      cause: error,
    });
  }
}

/**
 * [ID-7] /simpleenroll: pending until id and fingerprint are approved together. The same request again gives the same certificate while that has half its
 * life: an answer that got lost costs nothing.
 * @param address where it came from, for the operator.
 */
export function enrol(desk: DeviceContext, asked: Asked, address: string, nowMs: number): EnrolOutcome {
  return desk.store.transaction(() => {
    const known = desk.store.devices.find(asked.id, asked.fingerprint);
    switch (known?.state) {
      case undefined:
      case "pending":
        return wait(desk, asked, known, address, nowMs);
      case "denied":
        return refused(desk, asked, denied(asked.id, asked.fingerprint), address);
      case "revoked":
        return refused(desk, asked, revoked(asked.id, asked.fingerprint), address);
      case "approved":
        return serve(desk, asked, known, address, nowMs, undefined);
    }
  });
}

/**
 * [ID-9] /simplereenroll: a new certificate for the key that is approved; a new key is a new approval [ID-7]. When the newest certificate is not the one
 * shown, its answer got lost: it is handed out again.
 * @param shownSerial of the certificate the request came in with, which the caller has verified.
 */
export function reenrol(desk: DeviceContext, asked: Asked, shownSerial: string, address: string, nowMs: number): EnrolOutcome {
  return desk.store.transaction(() => {
    const known = desk.store.devices.find(asked.id, asked.fingerprint);
    if (known?.state === "approved") return serve(desk, asked, known, address, nowMs, shownSerial);
    const why = `renewal keeps the key: ${asked.fingerprint} is not the approved key of "${asked.id}"; ask with it at /simpleenroll`;
    return refused(desk, asked, new Fault("enrol.mismatch", why), address);
  });
}

function serve(
  desk: DeviceContext,
  asked: Asked,
  known: Device,
  address: string,
  nowMs: number,
  shownSerial: string | undefined,
): EnrolOutcome {
  const { store, journal } = desk;
  const { id, fingerprint } = asked;
  const refusal = changed(desk, asked, known, address);
  if (refusal !== undefined) return { kind: "refused", fault: refusal };
  const newest = store.certificates.newest(id, fingerprint);
  if (newest !== undefined && newest.serial !== shownSerial) {
    const lifeMs = newest.notAfterMs - newest.issuedAtMs;
    if (newest.notAfterMs - nowMs > lifeMs * REUSE_LEFT_RATIO) return { kind: "issued", certificate: newest };
  }
  const retryAfterMs = newest === undefined ? 0 : pacedMs(newest, nowMs);
  if (retryAfterMs > 0) {
    journal("enrolment.paced", id, { fingerprint, address });
    return { kind: "paced", retryAfterMs };
  }
  store.certificates.dropEnded(nowMs - CERTIFICATES_KEPT_MS);
  if (store.certificates.valid(id, nowMs) >= CERTIFICATES_PER_DEVICE_MAX) return { kind: "busy" };
  const certificate = desk.issuer.issueDevice(asked.request, nowMs, desk.certificateLifeMs);
  store.certificates.add(id, fingerprint, certificate);
  journal("certificate.issued", id, { serial: certificate.serial, renewal: shownSerial !== undefined });
  return { kind: "issued", certificate };
}

/**
 * [ID-12] How long this device has to wait for another certificate, milliseconds. A certificate from the future was issued before the hub's clock was set back.
 */
function pacedMs({ issuedAtMs, notAfterMs }: IssuedCertificate, nowMs: number): number {
  if (issuedAtMs > nowMs) return 0;
  return issuedAtMs + (notAfterMs - issuedAtMs) * CERTIFICATE_GAP_RATIO - nowMs;
}

function wait(desk: DeviceContext, asked: Asked, known: Device | undefined, address: string, nowMs: number): EnrolOutcome {
  const { devices } = desk.store;
  const { id, fingerprint, csr, request } = asked;
  if (known === undefined) arrive(desk, asked, address);
  const { serialNumber, uris, auditKey } = request;
  devices.request({ id, fingerprint, csr, serialNumber, uris, auditKey, address, seenAtMs: nowMs });
  const device = devices.find(id, fingerprint);
  if (device === undefined) throw new Fault("hub.store-failed", `remember the request of "${id}": it did not stay`);
  return { kind: "pending", device };
}

/** A pair that was not seen before, or not lately. In a crowd the alert stands for its requests one by one: the journal must not grow with them. */
function arrive({ store, journal }: DeviceContext, { id, fingerprint }: Asked, address: string): void {
  const { devices } = store;
  const displaced = makeRoom(devices.waiting(), { id, address });
  for (const { waiting, over, from } of displaced) {
    devices.remove(waiting.id, waiting.fingerprint);
    journal("enrolment.crowded", undefined, { over, from, id: over === "id" ? id : undefined });
  }
  const other = devices.approved(id);
  const sameCrowd = displaced.some(({ over }) => over === "id");
  if (other !== undefined && !sameCrowd) journal("device.other-key", id, { fingerprint, approved: other.fingerprint, address });
  if (displaced.length === 0) journal("device.requested", undefined, { id, fingerprint, address });
}

function refused(desk: DeviceContext, { id, fingerprint }: Asked, fault: Fault, address: string): EnrolOutcome {
  desk.journal("enrolment.refused", undefined, { id, fingerprint, code: fault.code, address });
  return { kind: "refused", fault };
}

/**
 * What was approved is what gets a certificate (RFC 7030 section 4.2.2 asks it of renewal; we ask it always), and the audit key approved is the one that counts
 * [AUD-7]. A request that says something else is kept for the operator to take. Other names get no certificate until then; another audit key does not stand
 * in the certificate, so the device keeps its tunnel and only its log goes unwitnessed.
 */
function changed(
  { store, journal }: DeviceContext,
  { id, fingerprint, csr, request }: Asked,
  known: Device,
  address: string,
): Fault | undefined {
  const names: string[] = [];
  if (known.serialNumber !== request.serialNumber) names.push("serialNumber");
  if (known.uris.toSorted().join(" ") !== request.uris.toSorted().join(" ")) names.push("names");
  const all = known.auditKey === request.auditKey ? names : [...names, "audit key"];
  if (all.length === 0) return undefined;
  journal("device.request-changed", id, { fingerprint, changed: all.join(", "), address });
  store.devices.propose(id, fingerprint, csr);
  if (names.length === 0) return undefined;
  return new Fault(
    "enrol.mismatch",
    `the request of "${id}" differs from the approved one in: ${all.join(", ")}; if that is right, on the hub: sallyport-hub devices approve ${id} ${fingerprint} --changed`,
  );
}
