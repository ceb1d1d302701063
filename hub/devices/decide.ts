// An operator's decisions about devices. [ID-7]
import { Fault } from "../../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { DENIED_MAX, DENIED_PER_ID_MAX } from "../limits.ts";
import type { Device } from "../store/index.ts";
import type { DeviceContext } from "./context.ts";
import { readRequest } from "./enrol.ts";
import { revoked } from "./refusal.ts";

type DecisionContext = Pick<DeviceContext, "store" | "journal">;

/**
 * [ID-7] Approves an id and a fingerprint together: the operator has compared both with what the
 * device shows.
 * @throws Fault `hub.device-unknown`, `hub.device-revoked`; `hub.device-conflict` while another key
 *   of that id is approved.
 */
export function approve(context: DecisionContext, id: DeviceId, fingerprint: Fingerprint, by: string): Device {
  const { store } = context;
  return store.transaction(() => {
    const known = store.devices.find(id, fingerprint);
    if (known === undefined) throw unknownPair(store.devices.ofId(id), id, fingerprint);
    if (known.state === "approved") return known;
    if (known.state === "revoked") throw revoked(id, fingerprint);
    const other = store.devices.approved(id);
    if (other !== undefined)
      throw new Fault(
        "hub.device-conflict",
        `approve "${id}" with key ${fingerprint}: that id is approved with key ${other.fingerprint}; if that device is gone, first run sallyport-hub devices revoke ${id}`,
      );
    return decided(context, known, "approved", by);
  });
}

/**
 * Accepts the changed names or audit key of an approved device: after a repair, or when its warden
 * began a new log.
 * @throws Fault `hub.device-unknown` when that pair is not approved or nothing changed.
 */
export function adopt({ store, journal }: DecisionContext, id: DeviceId, fingerprint: Fingerprint, by: string): Device {
  return store.transaction(() => {
    const known = store.devices.find(id, fingerprint);
    if (known?.state !== "approved" || known.proposed === undefined)
      throw new Fault(
        "hub.device-unknown",
        `accept the changed request of "${id}" with key ${fingerprint}: there is none; run sallyport-hub devices list to see the known devices`,
      );
    const { csr, request } = readRequest(known.proposed);
    const { serialNumber, uris, auditKey } = request;
    store.devices.adopt({ id, fingerprint, csr, serialNumber, uris, auditKey, address: known.address, seenAtMs: known.seenAtMs });
    journal("device.approved", id, { fingerprint, by, changed: true });
    return { ...known, csr, serialNumber, uris, auditKey, proposed: undefined };
  });
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
): readonly Device[] {
  const { store } = context;
  return store.transaction(() => {
    const known = named(store, id, fingerprint);
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
    const denied = chosen.map((device) => decided(context, device, "denied", by));
    store.devices.trimDenied(DENIED_PER_ID_MAX, DENIED_MAX);
    return denied;
  });
}

/**
 * Revokes the approval and all certificates permanently. The running hub ends the connection.
 * @throws Fault `hub.device-unknown`.
 */
export function revoke(context: DecisionContext, id: DeviceId, by: string): Device {
  const { store } = context;
  return store.transaction(() => {
    const known = store.devices.approved(id);
    if (known === undefined)
      throw new Fault(
        "hub.device-unknown",
        `revoke "${id}": none of its keys is approved; run sallyport-hub devices list to see the known devices`,
      );
    store.certificates.revokeAll(id, known.fingerprint, Date.now());
    store.outbox.clear(id); // the next device with this id is another one
    return decided(context, known, "revoked", by);
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
  { store, journal }: DecisionContext,
  id: DeviceId,
  fingerprint: Fingerprint | undefined,
  by: string,
): readonly Device[] {
  return store.transaction(() => {
    const known = named(store, id, fingerprint);
    const faults = new Map(known.map((device) => [device, obstacleTo({ store }, device)]));
    const chosen = known.filter((device) => faults.get(device) === undefined);
    const fault = [...faults.values()].find((each) => each !== undefined);
    if (chosen.length === 0)
      throw (
        fault ??
        new Fault(
          "hub.device-unknown",
          `forget "${id}": it has never asked; run sallyport-hub devices list to see the known devices`,
        )
      );
    for (const device of chosen) {
      store.certificates.remove(id, device.fingerprint);
      store.devices.remove(id, device.fingerprint);
      journal("device.forgotten", id, { fingerprint: device.fingerprint, state: device.state, by });
    }
    return chosen;
  });
}

/** Stores the decision, and writes it to the journal. */
function decided(
  { store, journal }: DecisionContext,
  device: Device,
  state: "approved" | "denied" | "revoked",
  by: string,
): Device {
  const { id, fingerprint } = device;
  store.devices.decide(id, fingerprint, state, Date.now(), by);
  journal(`device.${state}`, id, { fingerprint, by });
  return { ...device, state };
}

/**
 * @returns all keys that have asked with this id, or the one with `fingerprint`.
 * @throws Fault `hub.device-unknown` for a pair that never asked.
 */
function named(store: DecisionContext["store"], id: DeviceId, fingerprint: Fingerprint | undefined): readonly Device[] {
  const known = store.devices.ofId(id);
  if (fingerprint === undefined) return known;
  const pair = known.filter((each) => each.fingerprint === fingerprint);
  if (pair.length === 0) throw unknownPair(known, id, fingerprint);
  return pair;
}

/** @returns why this pair must not be removed, or undefined. */
function obstacleTo({ store }: Pick<DecisionContext, "store">, { id, fingerprint, state }: Device): Fault | undefined {
  if (state === "approved")
    return new Fault(
      "hub.device-conflict",
      `forget "${id}" with key ${fingerprint}: it is approved; first run sallyport-hub devices revoke ${id}`,
    );
  const endMs = store.certificates.lastEndMs(id, fingerprint);
  if (endMs === undefined || endMs < Date.now()) return undefined;
  const end = new Date(endMs).toISOString();
  return new Fault(
    "hub.device-conflict",
    `forget "${id}" with key ${fingerprint}: it has a certificate that is valid until ${end}, and until then the hub must remember its revocation`,
  );
}

function unknownPair(known: readonly Device[], id: DeviceId, fingerprint: Fingerprint): Fault {
  const seen = known.map((device) => `${device.fingerprint} (${device.state})`).join(", ");
  return new Fault(
    "hub.device-unknown",
    `no device "${id}" has asked with key ${fingerprint}; ${seen === "" ? "no key has asked with that id" : `keys seen with that id: ${seen}`}`,
  );
}
