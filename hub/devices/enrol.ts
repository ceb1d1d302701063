// The answer to an enrolment request. A certificate is issued only for an id and a key that an
// operator approved together. [ID-7]
import { Fault } from "../../hal/fault.ts";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";
import { check } from "../../hal/format/schema.ts";
import { type CertificateRequest, keyFingerprint, parseRequest } from "../../provisioning/x509/format/index.ts";
import { checkpointOrigin, decodeVerifier } from "../../warden/audit/format/index.ts";
import { CERTIFICATE_GAP_RATIO, CERTIFICATES_PER_DEVICE_MAX, CERTIFICATES_RETENTION_MS } from "../limits.ts";
import { type Device, type IssuedCertificate, retryOnConflict } from "../store/index.ts";
import type { DeviceContext } from "./context.ts";
import { isLapsed } from "./admit.ts";
import { isWeakerClaim } from "./protection.ts";
import { denied, revoked } from "./refusal.ts";
import { quoted } from "../../hal/format/text.ts";

/** A certificate with less than this share of its validity left is not handed out again. */
const REUSE_LEFT_RATIO = 1 / 2;

export type EnrolOutcome =
  | { readonly kind: "issued"; readonly certificate: Omit<IssuedCertificate, "revokedAtMs"> }
  /**
   * `command`: what an operator types to approve it, for a device that has proven its key in force.
   * Nobody else learns from the hub which ids are known, and how their keys are kept.
   */
  | {
      readonly kind: "pending";
      readonly id: DeviceId;
      readonly fingerprint: Device["fingerprint"];
      readonly command?: string;
      /** [ID-95] Another key is in force for the id. */
      readonly taken?: boolean;
    }
  /** `enrol.mismatch`, `hub.device-denied`, `hub.device-revoked`. */
  | { readonly kind: "refused"; readonly fault: Fault }
  /** Too many certificates of this id are valid. */
  | { readonly kind: "busy" }
  /** [ID-27] Too many new requests come from this address. */
  | { readonly kind: "crowded" }
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
export function enrol(context: DeviceContext, asked: EnrolmentRequest, address: string, nowMs: number): Promise<EnrolOutcome> {
  return retryOnConflict(async () => {
    const known = await context.store.devices.find(asked.id, asked.fingerprint);
    switch (known?.state) {
      case undefined:
      case "pending":
        return makePending(context, asked, known, address, nowMs);
      case "denied":
        return refused(context, asked, denied(asked.id, asked.fingerprint), address);
      case "revoked":
        return refused(context, asked, revoked(asked.id, asked.fingerprint), address);
      case "approved":
        if (isLapsed(known, nowMs)) return { kind: "pending", id: asked.id, fingerprint: asked.fingerprint };
        return issue(context, asked, known, address, nowMs, undefined);
    }
  });
}

/** Issues for an approved key, once its content is as approved. */
export async function issue(
  context: DeviceContext,
  asked: EnrolmentRequest,
  known: Device,
  address: string,
  nowMs: number,
  shownSerial: string | undefined,
): Promise<EnrolOutcome> {
  const { certificates, devices, journal } = context.store;
  const { id, fingerprint } = asked;
  const refusal = await checkUnchanged(context, asked, known, address);
  if (refusal !== undefined) return { kind: "refused", fault: refusal };
  const newest = await certificates.newest(id, fingerprint, nowMs);
  if (newest !== undefined && newest.serial !== shownSerial) {
    const lifeMs = newest.notAfterMs - newest.issuedAtMs;
    if (newest.notAfterMs - nowMs > lifeMs * REUSE_LEFT_RATIO) return { kind: "issued", certificate: newest };
  }
  const retryAfterMs = newest === undefined ? 0 : pacedMs(newest, nowMs);
  if (retryAfterMs > 0) {
    context.journal("enrolment.paced", id, { fingerprint, address });
    return { kind: "paced", retryAfterMs };
  }
  if ((await certificates.valid(id, nowMs)) >= CERTIFICATES_PER_DEVICE_MAX) return { kind: "busy" };
  const certificate = context.issuer.issueDevice(asked.request, nowMs, context.certificateLifeMs, context.crlUrl);
  const detail = { serial: certificate.serial, renewal: shownSerial !== undefined };
  await context.store.commit(
    devices.approvedStill(id, fingerprint),
    certificates.newestIs(id, fingerprint, newest?.serial, nowMs),
    certificates.dropEnded((context.retentionMs?.() ?? nowMs) - CERTIFICATES_RETENTION_MS),
    certificates.add(id, fingerprint, certificate),
    journal.noted([{ event: "certificate.issued", deviceId: id, detail, atMs: nowMs }]),
  );
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

async function makePending(
  context: DeviceContext,
  asked: EnrolmentRequest,
  known: Device | undefined,
  address: string,
  nowMs: number,
): Promise<EnrolOutcome> {
  const { store } = context;
  const { id, fingerprint, csr, request } = asked;
  const { serialNumber, uris, auditKey, protection } = request;
  const asking = { id, fingerprint, csr, serialNumber, uris, auditKey, protection, address, seenAtMs: nowMs };
  if (known === undefined && !context.pending.take(address)) return { kind: "crowded" };
  if (known === undefined) await context.pending.add(asking);
  else await store.commit(store.devices.request(asking));
  return { kind: "pending", id, fingerprint, taken: (await store.devices.approved(id)) !== undefined };
}

export function refused(
  context: DeviceContext,
  { id, fingerprint }: EnrolmentRequest,
  fault: Fault,
  address: string,
): EnrolOutcome {
  context.journal("enrolment.refused", undefined, { id, fingerprint, code: fault.code, address });
  return { kind: "refused", fault };
}

/**
 * Only the approved content gets a certificate (RFC 7030 section 4.2.2 demands it for renewal; here
 * it applies always), and the approved audit key is the one that counts [AUD-7]. A request with
 * other content is stored for the operator to accept. Other names and a weaker protection get no
 * certificate until then. Another audit key is not in the certificate, so the device keeps its
 * tunnel, and only its log is not witnessed; nor is a stronger protection, which counts once it is
 * accepted. [ID-61]
 * @returns why the request is refused, or undefined.
 */
async function checkUnchanged(
  { store, journal }: DeviceContext,
  { id, fingerprint, csr, request }: EnrolmentRequest,
  known: Device,
  address: string,
): Promise<Fault | undefined> {
  const { protection } = request;
  // [ID-61] The first claim about a key takes nothing back, and no claim is no news.
  if (known.protection === undefined && protection !== undefined) {
    await store.commit(store.devices.claim(id, fingerprint, protection));
    journal("device.protection-reported", id, { fingerprint, protection, address });
  }
  const inForce = known.protection ?? protection;
  const isClaimChanged = protection !== undefined && protection !== inForce;
  const weaker = isClaimChanged && isWeakerClaim(protection, inForce) ? ["weaker protection"] : [];
  if (weaker.length > 0)
    journal("device.weaker-key", id, { fingerprint, approved: inForce, claimed: protection, by: "request", address });
  const names = [...changedNames(known, request), ...weaker];
  const all = [
    ...names,
    ...(known.auditKey === request.auditKey ? [] : ["audit key"]),
    ...(isClaimChanged && weaker.length === 0 ? ["stronger protection"] : []),
  ];
  if (all.length === 0) return undefined;
  journal("device.request-changed", id, { fingerprint, changed: all.join(", "), address });
  // A device repeats its request: only a new one is stored.
  if (known.proposed === undefined || !Buffer.from(known.proposed).equals(csr))
    await store.commit(store.devices.propose(id, fingerprint, csr));
  if (names.length === 0) return undefined;
  return new Fault(
    "enrol.mismatch",
    `the request of "${id}" differs from the approved one in: ${all.join(", ")}; if that is right, run on the hub: sallyport-hub devices approve ${id} ${fingerprint} --changed${weaker.length > 0 ? " --weaker" : ""}`,
  );
}

/** What would be in a certificate, and differs from what was approved. */
export function changedNames(known: Pick<Device, "serialNumber" | "uris">, request: CertificateRequest): readonly string[] {
  const sorted = (uris: readonly string[]): string => uris.toSorted().join(" ");
  return [
    ...(known.serialNumber === request.serialNumber ? [] : ["serialNumber"]),
    ...(sorted(known.uris) === sorted(request.uris) ? [] : ["names"]),
  ];
}
