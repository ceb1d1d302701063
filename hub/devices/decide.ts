// An operator's decisions about devices. [ID-7]
import { Fault } from "../../hal/fault.ts";
import { boardText, type DeviceId, type Fingerprint } from "../../hal/format/identity.ts";
import { DENIED_MAX, DENIED_PER_ID_MAX } from "../limits.ts";
import { type Change, type Device, retryOnConflict } from "../store/index.ts";
import type { DecisionContext } from "./context.ts";
import { readRequest } from "./enrol.ts";
import { auditKeyFingerprint, expectNamed, type NamedRequest } from "./named.ts";
import { boardOf, claimOf, OWN_ID } from "./boards.ts";
import { isWeakerClaim, protectionName } from "./protection.ts";
import { replaceCommand, revoked, unknownPair } from "./refusal.ts";

export interface ApproveOptions extends NamedRequest {
  /** Accepts a weaker protection than the id had. */
  readonly weaker?: boolean;
}

/**
 * [ID-7] Approves an id and a fingerprint together: the operator has compared both with what the
 * device shows.
 * @throws Fault `hub.device-unknown`, `hub.device-revoked`; `hub.device-conflict` while another key
 *   of that id is approved [ID-62], for another request or audit key than the operator names
 *   [ID-26] [ID-31], and for a key weaker than the last one of that id, without `weaker`.
 */
export function approve(
  context: DecisionContext,
  id: DeviceId,
  fingerprint: Fingerprint,
  by: string,
  named: ApproveOptions = {},
): Promise<Device> {
  const { devices } = context.store;
  return retryOnConflict(async () => {
    const known = await devices.find(id, fingerprint);
    if (known === undefined) throw unknownPair(await devices.ofId(id), id, fingerprint);
    const other = await devices.approved(id);
    expectNamed(known, other?.fingerprint === fingerprint ? undefined : other?.fingerprint, named, `approve "${id}"`);
    if (known.state === "approved") return known;
    if (known.state === "revoked") throw revoked(id, fingerprint);
    if (other !== undefined)
      throw new Fault(
        "hub.device-conflict",
        `approve "${id}" with key ${fingerprint}: that id is approved with key ${other.fingerprint}, which stays in force; ${twoBoardsText(known, other)}to put this key in its place, run sallyport-hub ${replaceCommand(known, other)}`,
      );
    if (named.weaker !== true) expectNotWeaker(known, await devices.ofId(id));
    const [approved] = await decided(context, [known], "approved", by);
    return approved ?? known;
  });
}

/** [ID-95] */
function twoBoardsText(known: Device, inForce: Device): string {
  const claim = claimOf(known, inForce);
  if (claim === undefined || known.provenBy === inForce.fingerprint) return "";
  return `${claim} this id: in force is ${boardText(boardOf(inForce))}, and this one is ${boardText(boardOf(known))}; if both are in use, ${OWN_ID}; only if this board took the place of the other, `;
}

/** [ID-62] A revoked key was the id's too, so a weaker one after it is a decision of its own. */
function expectNotWeaker(known: Device, ofId: readonly Device[]): void {
  const { id, fingerprint, protection } = known;
  const last = ofId
    .filter(({ state }) => state === "revoked")
    .reduce<Device | undefined>(
      (latest, each) => ((latest?.decidedAtMs ?? 0) > (each.decidedAtMs ?? 0) ? latest : each),
      undefined,
    );
  if (last === undefined || !isWeakerClaim(protection, last.protection)) return;
  throw new Fault(
    "hub.device-conflict",
    `approve "${id}": this key is ${protectionName(protection)}, and the last one of that id was ${protectionName(last.protection)}, which is stronger; if that is right, run sallyport-hub devices approve ${id} ${fingerprint} --weaker`,
  );
}

/**
 * Accepts the changed names, audit key or protection of an approved device: after a repair, or when
 * its warden began a new log.
 * @param namedAuditKey the fingerprint of the audit key in the changed request, as the operator
 *   read it from the device's console. It may be absent where that key did not change. [ID-26]
 * @param shown the device as the operator saw it, whose changed request alone is accepted. [ID-31]
 * @param weaker true to accept a weaker protection too. [ID-61]
 * @throws Fault `hub.device-unknown` when that pair is not approved or nothing changed;
 *   `hub.device-conflict` for another audit key than the operator names, and for another request
 *   than the one that was shown.
 */
export function adopt(
  { store }: DecisionContext,
  { id, fingerprint, csr: shownCsr, proposed: shownRequest }: Pick<Device, "id" | "fingerprint" | "csr" | "proposed">,
  by: string,
  namedAuditKey: Fingerprint | undefined,
  weaker = false,
): Promise<Device> {
  return retryOnConflict(async () => {
    const known = await store.devices.find(id, fingerprint);
    if (known?.state !== "approved" || known.proposed === undefined)
      throw new Fault(
        "hub.device-unknown",
        `accept the changed request of "${id}" with key ${fingerprint}: there is none; run sallyport-hub devices list to see the known devices`,
      );
    const isAsShown = sameBytes(known.proposed, shownRequest) && sameBytes(known.csr, shownCsr);
    if (!isAsShown)
      throw new Fault(
        "hub.device-conflict",
        `accept the changed request of "${id}": it has sent another request since this one was shown, and nothing was accepted; run the command again and compare`,
      );
    const { csr, request } = readRequest(known.proposed);
    expectAuditKey(known, request.auditKey, namedAuditKey);
    const { serialNumber, uris, auditKey } = request;
    const protection = request.protection ?? known.protection;
    if (isWeakerClaim(protection, known.protection) && !weaker)
      throw new Fault(
        "hub.device-conflict",
        `accept the changed request of "${id}": it says ${protectionName(protection)} where ${protectionName(known.protection)} was approved, which is weaker, though the key is the same; find out why, and only then add --weaker`,
      );
    const { address, seenAtMs } = known;
    const detail = { fingerprint, protection: protectionName(protection), by, changed: true };
    await store.commit(
      store.devices.unchanged(known),
      store.devices.adopt({ id, fingerprint, csr, serialNumber, uris, auditKey, protection, address, seenAtMs }),
      store.journal.entry("device.approved", id, detail, Date.now()),
    );
    return { ...known, csr, serialNumber, uris, auditKey, protection, proposed: undefined };
  });
}

function sameBytes(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && Buffer.compare(one, other) === 0;
}

/** [ID-26] An operator who accepts a new audit key has compared it, not only been told of it. */
function expectAuditKey({ id, auditKey }: Device, proposed: string | undefined, named: Fingerprint | undefined): void {
  const found = auditKeyFingerprint(proposed);
  if (named === undefined ? proposed === auditKey : named === found) return;
  throw new Fault(
    "hub.device-conflict",
    named === undefined
      ? `accept the changed request of "${id}": its audit key is another one; compare it with the device's console and name it: --audit-key FINGERPRINT`
      : `accept the changed request of "${id}": its new audit key is ${found ?? "missing"}, not ${named}`,
  );
}

/** What a changed request of an approved device says; undefined when it has none. */
export function proposedRequest(device: Device): Pick<Device, "serialNumber" | "uris" | "auditKey" | "protection"> | undefined {
  if (device.proposed === undefined) return undefined;
  const { serialNumber, uris, auditKey, protection = device.protection } = readRequest(device.proposed).request;
  return { serialNumber, uris, auditKey, protection };
}

/**
 * Denies a request; without a fingerprint, all pending requests of this id. The oldest denials are
 * dropped, because new keys cost a stranger nothing.
 * @throws Fault `hub.device-unknown` when none is pending; `hub.device-conflict` for an approved
 *   key, which must be revoked instead.
 */
export function deny(
  context: DecisionContext,
  id: DeviceId,
  fingerprint: Fingerprint | undefined,
  by: string,
): Promise<readonly Device[]> {
  const { store } = context;
  return retryOnConflict(async () => {
    const known = await named(store, id, fingerprint);
    const chosen = fingerprint === undefined ? known.filter(({ state }) => state === "pending") : known;
    if (chosen.length === 0)
      throw new Fault(
        "hub.device-unknown",
        `deny "${id}": it has no pending request; run sallyport-hub devices list to see the known devices`,
      );
    const standing = chosen.find(({ state }) => state === "approved" || state === "revoked");
    if (standing !== undefined)
      throw new Fault(
        "hub.device-conflict",
        `deny "${id}": that key is ${standing.state}; to withdraw an approval, run sallyport-hub devices revoke ${id}`,
      );
    return decided(context, chosen, "denied", by, store.devices.trimDenied(DENIED_PER_ID_MAX, DENIED_MAX));
  });
}

/**
 * Revokes the approval and all certificates permanently, those of a key that is approved beside it
 * included. The running hub ends the connection.
 * @throws Fault `hub.device-unknown`.
 */
export function revoke(context: DecisionContext, id: DeviceId, by: string): Promise<Device> {
  const { store } = context;
  return retryOnConflict(async () => {
    const known = await store.devices.approved(id);
    if (known === undefined)
      throw new Fault(
        "hub.device-unknown",
        `revoke "${id}": none of its keys is approved; run sallyport-hub devices list to see the known devices`,
      );
    const successor = await store.devices.successor(id);
    const both = successor === undefined ? [known] : [known, successor];
    const certificates = both.map(({ fingerprint }) => store.certificates.revokeAll(id, fingerprint, Date.now()));
    // The next device with this id is another one.
    const [gone] = await decided(context, both, "revoked", by, ...certificates, store.outbox.clear(id), store.boards.remove(id));
    return gone ?? known;
  });
}

/**
 * Removes requests: pending ones, denied ones, and revoked ones whose certificates have all
 * expired. Without a fingerprint, all such requests of this id. A device that asks again with such
 * a key is pending like a new one.
 * @throws Fault `hub.device-unknown` when there is none; `hub.device-conflict` for an approved key,
 *   and for a revoked one whose certificates must still be refused.
 */
export function forget(
  { store }: DecisionContext,
  id: DeviceId,
  fingerprint: Fingerprint | undefined,
  by: string,
): Promise<readonly Device[]> {
  return retryOnConflict(async () => {
    const known = await named(store, id, fingerprint);
    const judged = await Promise.all(known.map(async (device) => ({ device, fault: await obstacleTo({ store }, device) })));
    const chosen = judged.filter(({ fault }) => fault === undefined).map(({ device }) => device);
    const fault = judged.find((each) => each.fault !== undefined)?.fault;
    if (chosen.length === 0)
      throw (
        fault ??
        new Fault(
          "hub.device-unknown",
          `forget "${id}": it has never asked; run sallyport-hub devices list to see the known devices`,
        )
      );
    await store.commit(
      ...chosen.flatMap((device) => [
        store.devices.unchanged(device),
        store.certificates.remove(id, device.fingerprint),
        store.devices.remove(id, device.fingerprint),
        store.journal.entry("device.forgotten", id, { fingerprint: device.fingerprint, state: device.state, by }, Date.now()),
      ]),
    );
    return chosen;
  });
}

/**
 * Commits the decision about `devices`, its journal entries, and what follows from it.
 * @returns them as decided.
 */
async function decided(
  { store }: DecisionContext,
  devices: readonly Device[],
  state: "approved" | "denied" | "revoked",
  by: string,
  ...following: readonly Change[]
): Promise<readonly Device[]> {
  const nowMs = Date.now();
  const decisions = devices.flatMap((device) => [
    store.devices.unchanged(device),
    store.devices.decide(device.id, device.fingerprint, state, nowMs, by),
    store.journal.entry(
      `device.${state}`,
      device.id,
      { fingerprint: device.fingerprint, protection: protectionName(device.protection), by },
      nowMs,
    ),
  ]);
  await store.commit(...decisions, ...following);
  return devices.map((device) => ({ ...device, state }));
}

/**
 * @returns all keys that have asked with this id, or the one with `fingerprint`.
 * @throws Fault `hub.device-unknown` for a pair that never asked.
 */
async function named(
  store: DecisionContext["store"],
  id: DeviceId,
  fingerprint: Fingerprint | undefined,
): Promise<readonly Device[]> {
  const known = await store.devices.ofId(id);
  if (fingerprint === undefined) return known;
  const pair = known.filter((each) => each.fingerprint === fingerprint);
  if (pair.length === 0) throw unknownPair(known, id, fingerprint);
  return pair;
}

/** @returns why this pair must not be removed, or undefined. */
async function obstacleTo({ store }: DecisionContext, { id, fingerprint, state }: Device): Promise<Fault | undefined> {
  if (state === "approved")
    return new Fault(
      "hub.device-conflict",
      `forget "${id}" with key ${fingerprint}: it is approved; first run sallyport-hub devices revoke ${id}`,
    );
  const endMs = await store.certificates.lastEndMs(id, fingerprint);
  if (endMs === undefined || endMs < Date.now()) return undefined;
  const end = new Date(endMs).toISOString();
  return new Fault(
    "hub.device-conflict",
    `forget "${id}" with key ${fingerprint}: it has a certificate that is valid until ${end}, and until then the hub must remember its revocation`,
  );
}
