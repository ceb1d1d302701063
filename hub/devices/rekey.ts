// /simplereenroll: renewal of the key in force, and the request for another key by a device that
// has both. [ID-9] [ID-63] [ID-64]
import { Fault } from "../../hal/fault.ts";
import { isWeaker } from "../../hal/format/identity.ts";
import { CERTIFICATES_PER_DEVICE_MAX, OVERLAP_MS_MAX } from "../limits.ts";
import { type Device, retryOnConflict } from "../store/index.ts";
import { type AdmittedDevice, isLapsed } from "./admit.ts";
import type { DeviceContext } from "./context.ts";
import { changedNames, type EnrolmentRequest, type EnrolOutcome, issue, refused } from "./enrol.ts";
import { isWeakerClaim, protectionName } from "./protection.ts";
import { denied, replaceCommand, revoked } from "./refusal.ts";
import { bothKeys, successorBeside } from "./replace.ts";

/** One request for another key, and the device that asks. */
interface Rekey {
  readonly context: DeviceContext;
  readonly asked: EnrolmentRequest;
  readonly address: string;
  readonly nowMs: number;
  /** The key in force, which the device has shown in TLS. */
  readonly inForce: Device;
  /** What the hub knows of the other key. */
  readonly known: Device | undefined;
}

/**
 * [ID-9] A new certificate for the key of the presented one. When the newest certificate is not the
 * presented one, the answer that carried it was lost, and it is handed out again. A request signed
 * by another key is one for a re-key. [ID-63]
 * @param shown the device, by the presented certificate, which the caller has verified.
 */
export function reenrol(
  context: DeviceContext,
  asked: EnrolmentRequest,
  shown: AdmittedDevice,
  address: string,
  nowMs: number,
): Promise<EnrolOutcome> {
  return retryOnConflict(async () => {
    const { devices } = context.store;
    const { id, fingerprint } = asked;
    const mismatch = (why: string): EnrolOutcome => refused(context, asked, new Fault("enrol.mismatch", why), address);
    const known = await devices.find(id, fingerprint);
    if (fingerprint === shown.fingerprint)
      return known?.state === "approved"
        ? issue(context, asked, known, address, nowMs, shown.serial)
        : mismatch(`${fingerprint} is not an approved key of "${id}"; enrol it at /simpleenroll`);
    if (known?.state === "denied") return refused(context, asked, denied(id, fingerprint), address);
    if (known?.state === "revoked") return refused(context, asked, revoked(id, fingerprint), address);
    const inForce = await devices.approved(id);
    if (inForce?.fingerprint !== shown.fingerprint)
      return mismatch(
        `the presented certificate is not of the key in force of "${id}"; connect with that certificate first, and ask again`,
      );
    if (isWeakerClaim(asked.request.protection, inForce.protection))
      return mismatch(
        `the other key is ${protectionName(asked.request.protection)}, which is weaker than ${protectionName(inForce.protection)}; enrol it at /simpleenroll, where it waits for an operator`,
      );
    return rekey({ context, asked, address, nowMs, inForce, known });
  });
}

async function rekey(asking: Rekey): Promise<EnrolOutcome> {
  const { context, asked, address, nowMs, inForce, known } = asking;
  if (known?.state === "approved" && !isLapsed(known, nowMs)) return issue(context, asked, known, address, nowMs, undefined);
  return isPermitted(asking) ? await issueBeside(asking) : await wait(asking, inForce);
}

/**
 * An operator's permission is for a key as safe as they said, on a device that is otherwise as
 * approved.
 */
function isPermitted({ asked: { request }, inForce, nowMs }: Rekey): boolean {
  const { rekey: permission, auditKey } = inForce;
  if (permission === undefined || nowMs > permission.untilMs) return false;
  if (permission.to !== undefined && isWeaker(request.protection ?? "file", permission.to)) return false;
  return changedNames(inForce, request).length === 0 && auditKey === request.auditKey;
}

/** Spends the permission, approves the key beside the one in force, and issues: one commit. */
async function issueBeside({ context, asked, address, nowMs, inForce, known }: Rekey): Promise<EnrolOutcome> {
  const { devices, certificates, journal } = context.store;
  const { id, fingerprint, csr, request } = asked;
  if ((await certificates.valid(id, nowMs)) >= CERTIFICATES_PER_DEVICE_MAX) return { kind: "busy" };
  const { serialNumber, uris, auditKey, protection } = request;
  const by = "an operator's permission";
  const provenBy = inForce.fingerprint;
  const row = { id, fingerprint, csr, serialNumber, uris, auditKey, protection, provenBy, address, seenAtMs: nowMs };
  const certificate = context.issuer.issueDevice(request, nowMs, context.certificateLifeMs, context.crlUrl);
  const overlapUntil = new Date(nowMs + OVERLAP_MS_MAX).toISOString();
  await context.store.commit(
    devices.unchanged(inForce),
    known === undefined ? devices.absent(id, fingerprint) : devices.unchanged(known),
    ...(await successorBeside(context.store, asked, nowMs, by)),
    devices.removeProven(id, fingerprint),
    // A key whose overlap has lapsed is approved already, and only takes the new content.
    known?.state === "approved" ? devices.adopt(row) : devices.request(row),
    devices.succeed(id, fingerprint, nowMs + OVERLAP_MS_MAX, nowMs, by),
    devices.allowRekey(id, inForce.fingerprint, undefined),
    certificates.add(id, fingerprint, certificate),
    journal.entry("device.rekeyed", id, { ...bothKeys({ fingerprint, protection }, inForce), by, overlapUntil, address }, nowMs),
    journal.noted([
      { event: "certificate.issued", deviceId: id, detail: { serial: certificate.serial, renewal: false }, atMs: nowMs },
    ]),
  );
  return { kind: "issued", certificate };
}

/** A device has one such request at a time, so the quota of strangers does not count it. */
async function wait({ context, asked, address, nowMs, known }: Rekey, inForce: Device): Promise<EnrolOutcome> {
  const { store, journal } = context;
  const { id, fingerprint, csr, request } = asked;
  const { serialNumber, uris, auditKey, protection } = request;
  const provenBy = inForce.fingerprint;
  if (known?.state !== "approved") {
    const row = { id, fingerprint, csr, serialNumber, uris, auditKey, protection, provenBy, address, seenAtMs: nowMs };
    await store.commit(
      store.devices.approvedStill(id, provenBy),
      store.devices.removeProven(id, fingerprint),
      store.devices.request(row),
    );
  }
  if (known?.provenBy !== provenBy)
    journal("device.rekey-requested", id, { ...bothKeys({ fingerprint, protection }, inForce), address });
  return { kind: "pending", id, fingerprint, command: replaceCommand({ id, fingerprint, protection }, inForce) };
}
