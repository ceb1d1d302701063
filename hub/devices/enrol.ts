// The answer to an enrolment request. A certificate is issued only for an id and a key that an
// operator approved together. [ID-7]
import { Fault } from "../../hal/fault.ts";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";
import { check } from "../../hal/format/schema.ts";
import { type CertificateRequest, keyFingerprint, parseRequest } from "../../provisioning/x509/format/index.ts";
import { checkpointOrigin, decodeVerifier } from "../../warden/audit/format/index.ts";
import { CERTIFICATE_GAP_RATIO, CERTIFICATES_PER_DEVICE_MAX, CERTIFICATES_RETENTION_MS } from "../limits.ts";
import type { Device, IssuedCertificate } from "../store/index.ts";
import { displacedBy } from "./pending-quota.ts";
import type { DeviceContext } from "./context.ts";
import { denied, revoked } from "./refusal.ts";
import { quoted } from "../../hal/format/text.ts";

/** A certificate with less than this share of its validity left is not handed out again. */
const REUSE_LEFT_RATIO = 1 / 2;

export type EnrolOutcome =
  | { readonly kind: "issued"; readonly certificate: Omit<IssuedCertificate, "revokedAtMs"> }
  | { readonly kind: "pending"; readonly device: Device }
  /** `enrol.mismatch`, `hub.device-denied`, `hub.device-revoked`. */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** Too many certificates of this id are valid. */
  | { readonly kind: "busy" }
  /** [ID-24] The device got one a moment ago. */
  | { readonly kind: "paced"; readonly retryAfterMs: number };

/** A valid request. */
export interface EnrolmentRequest {
  readonly id: DeviceId;
  readonly fingerprint: Device["fingerprint"];
  readonly csr: Uint8Array;
  readonly request: CertificateRequest;
}

/**
 * @throws Fault `csr.invalid` for a malformed PKCS#10 request, a CN that is not a device id, or
 *   names or an audit key that do not belong to this device.
 */
export function readRequest(csr: Uint8Array): EnrolmentRequest {
  const request = parseRequest(csr);
  const id = check(deviceIdSchema, request.commonName, "the request's CN", "csr.invalid");
  const stranger = request.uris.find((uri) => !uri.startsWith("urn:dev:"));
  if (stranger !== undefined)
    throw new Fault("csr.invalid", `the request has the name ${quoted(stranger)}: expected only urn:dev: names (RFC 9039)`);
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
 * [ID-7] /simpleenroll: pending until id and fingerprint are approved together. A repeated request
 * gets the same certificate while half of its validity is left, so a lost answer costs nothing.
 * @param address the source of the request, for the operator.
 */
export function enrol(context: DeviceContext, asked: EnrolmentRequest, address: string, nowMs: number): EnrolOutcome {
  return context.store.transaction(() => {
    const known = context.store.devices.find(asked.id, asked.fingerprint);
    switch (known?.state) {
      case undefined:
      case "pending":
        return makePending(context, asked, known, address, nowMs);
      case "denied":
        return refused(context, asked, denied(asked.id, asked.fingerprint), address);
      case "revoked":
        return refused(context, asked, revoked(asked.id, asked.fingerprint), address);
      case "approved":
        return issue(context, asked, known, address, nowMs, undefined);
    }
  });
}

/**
 * [ID-9] /simplereenroll: a new certificate for the approved key. A new key needs a new approval
 * [ID-7]. When the newest certificate is not the presented one, the answer that carried it was
 * lost, and it is handed out again.
 * @param shownSerial serial of the presented certificate, which the caller has verified.
 */
export function reenrol(
  context: DeviceContext,
  asked: EnrolmentRequest,
  shownSerial: string,
  address: string,
  nowMs: number,
): EnrolOutcome {
  return context.store.transaction(() => {
    const known = context.store.devices.find(asked.id, asked.fingerprint);
    if (known?.state === "approved") return issue(context, asked, known, address, nowMs, shownSerial);
    const why = `renewal keeps the key: ${asked.fingerprint} is not the approved key of "${asked.id}"; enrol it at /simpleenroll`;
    return refused(context, asked, new Fault("enrol.mismatch", why), address);
  });
}

function issue(
  context: DeviceContext,
  asked: EnrolmentRequest,
  known: Device,
  address: string,
  nowMs: number,
  shownSerial: string | undefined,
): EnrolOutcome {
  const { store, journal } = context;
  const { id, fingerprint } = asked;
  const refusal = checkUnchanged(context, asked, known, address);
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
  store.certificates.dropEnded(nowMs - CERTIFICATES_RETENTION_MS);
  if (store.certificates.valid(id, nowMs) >= CERTIFICATES_PER_DEVICE_MAX) return { kind: "busy" };
  const certificate = context.issuer.issueDevice(asked.request, nowMs, context.certificateLifeMs);
  store.certificates.add(id, fingerprint, certificate);
  journal("certificate.issued", id, { serial: certificate.serial, renewal: shownSerial !== undefined });
  return { kind: "issued", certificate };
}

/**
 * [ID-24] How long this device has to wait for another certificate, milliseconds. A certificate
 * from the future was issued before the hub's clock was set back.
 */
function pacedMs({ issuedAtMs, notAfterMs }: IssuedCertificate, nowMs: number): number {
  if (issuedAtMs > nowMs) return 0;
  return issuedAtMs + (notAfterMs - issuedAtMs) * CERTIFICATE_GAP_RATIO - nowMs;
}

function makePending(
  context: DeviceContext,
  asked: EnrolmentRequest,
  known: Device | undefined,
  address: string,
  nowMs: number,
): EnrolOutcome {
  const { devices } = context.store;
  const { id, fingerprint, csr, request } = asked;
  if (known === undefined) admitPending(context, asked, address);
  const { serialNumber, uris, auditKey } = request;
  devices.request({ id, fingerprint, csr, serialNumber, uris, auditKey, address, seenAtMs: nowMs });
  const device = devices.find(id, fingerprint);
  if (device === undefined) throw new Fault("hub.store-failed", `store the request of "${id}": it is not there after writing`);
  return { kind: "pending", device };
}

/**
 * Makes room for a pair that has not asked before. Under a flood, one alert stands for many
 * requests, so that the journal does not grow with them.
 */
function admitPending({ store, journal }: DeviceContext, { id, fingerprint }: EnrolmentRequest, address: string): void {
  const { devices } = store;
  const displaced = displacedBy(devices.pending(), { id, address });
  for (const { request, over, from } of displaced) {
    devices.remove(request.id, request.fingerprint);
    journal("enrolment.crowded", undefined, { over, from, id: over === "id" ? id : undefined });
  }
  const other = devices.approved(id);
  const isFlood = displaced.some(({ over }) => over === "id");
  if (other !== undefined && !isFlood) journal("device.other-key", id, { fingerprint, approved: other.fingerprint, address });
  if (displaced.length === 0) journal("device.requested", undefined, { id, fingerprint, address });
}

function refused(context: DeviceContext, { id, fingerprint }: EnrolmentRequest, fault: Fault, address: string): EnrolOutcome {
  context.journal("enrolment.refused", undefined, { id, fingerprint, code: fault.code, address });
  return { kind: "refused", fault };
}

/**
 * Only the approved content gets a certificate (RFC 7030 section 4.2.2 demands it for renewal; here
 * it applies always), and the approved audit key is the one that counts [AUD-7]. A request with
 * other content is stored for the operator to accept. Other names get no certificate until then.
 * Another audit key is not in the certificate, so the device keeps its tunnel, and only its log is
 * not witnessed.
 * @returns why the request is refused, or undefined.
 */
function checkUnchanged(
  { store, journal }: DeviceContext,
  { id, fingerprint, csr, request }: EnrolmentRequest,
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
    `the request of "${id}" differs from the approved one in: ${all.join(", ")}; if that is right, run on the hub: sallyport-hub devices approve ${id} ${fingerprint} --changed`,
  );
}
