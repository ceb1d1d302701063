// What an operator decides about a device. [ID-7]
import { Fault } from "../../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { DENIED_MAX, DENIED_PER_ID_MAX } from "../limits.ts";
import type { Device } from "../store/index.ts";
import type { DeviceContext } from "./context.ts";
import { readRequest } from "./enrol.ts";
import { revoked } from "./refusal.ts";

type Books = Pick<DeviceContext, "store" | "journal">;

/**
 * [ID-7] Id and fingerprint together: the operator has compared both with what the device shows.
 * @throws Fault `hub.device-unknown`, `hub.device-revoked`, `hub.device-conflict` while another key of that id is approved.
 */
export function approve(books: Books, id: DeviceId, fingerprint: Fingerprint, by: string): Device {
  const { store } = books;
  return store.transaction(() => {
    const known = store.devices.find(id, fingerprint);
    if (known === undefined) throw unknownPair(store.devices.ofId(id), id, fingerprint);
    if (known.state === "approved") return known;
    if (known.state === "revoked") throw revoked(id, fingerprint);
    const other = store.devices.approved(id);
    if (other !== undefined)
      throw new Fault(
        "hub.device-conflict",
        `approve "${id}" with key ${fingerprint}: the id belongs to key ${other.fingerprint}; when that device is gone, run devices revoke ${id} first`,
      );
    return decided(books, known, "approved", by);
  });
}

/**
 * Takes what an approved device says of itself now, names or audit key, in place of what was approved: after a repair, or when its warden began a new log.
 * @throws Fault `hub.device-unknown` when that pair is not approved or nothing changed.
 */
export function adopt({ store, journal }: Books, id: DeviceId, fingerprint: Fingerprint, by: string): Device {
  return store.transaction(() => {
    const known = store.devices.find(id, fingerprint);
    if (known?.state !== "approved" || known.proposed === undefined)
      throw new Fault("hub.device-unknown", `take the changed request of "${id}" with key ${fingerprint}: there is none`);
    const { csr, request } = readRequest(known.proposed);
    const { serialNumber, uris, auditKey } = request;
    store.devices.adopt({ id, fingerprint, csr, serialNumber, uris, auditKey, address: known.address, seenAtMs: known.seenAtMs });
    journal("device.approved", id, { fingerprint, by, changed: true });
    return { ...known, csr, serialNumber, uris, auditKey, proposed: undefined };
  });
}

/**
 * Refuses a request; without a fingerprint all that wait for this id. The oldest denials are let go: keys cost a stranger nothing.
 * @throws Fault `hub.device-unknown` when none waits; `hub.device-conflict` for an approved key, which is revoked instead.
 */
export function deny(books: Books, id: DeviceId, fingerprint: Fingerprint | undefined, by: string): readonly Device[] {
  const { store } = books;
  return store.transaction(() => {
    const known = named(store, id, fingerprint);
    const chosen = fingerprint === undefined ? known.filter(({ state }) => state === "pending") : known;
    if (chosen.length === 0)
      throw new Fault("hub.device-unknown", `deny "${id}": no request of it waits; devices list shows what is known`);
    const standing = chosen.find(({ state }) => state === "approved" || state === "revoked");
    if (standing !== undefined)
      throw new Fault(
        "hub.device-conflict",
        `deny "${id}": that key is ${standing.state}; devices revoke ${id} takes an approval back`,
      );
    const denied = chosen.map((device) => decided(books, device, "denied", by));
    store.devices.trimDenied(DENIED_PER_ID_MAX, DENIED_MAX);
    return denied;
  });
}

/** Takes the approval and every certificate back, for good; the running hub ends the connection. @throws Fault `hub.device-unknown`. */
export function revoke(books: Books, id: DeviceId, by: string): Device {
  const { store } = books;
  return store.transaction(() => {
    const known = store.devices.approved(id);
    if (known === undefined)
      throw new Fault("hub.device-unknown", `revoke "${id}": no key of it is approved; devices list shows what is known`);
    store.certificates.revokeAll(id, known.fingerprint, Date.now());
    store.outbox.clear(id); // whoever gets this id next is another device
    return decided(books, known, "revoked", by);
  });
}

/**
 * Takes requests out of the books: those that wait, that were denied, that were revoked and whose certificates have all ended. Without a fingerprint all such
 * of this id. Whoever asks again with such a key waits like a new one.
 * @throws Fault `hub.device-unknown` when there is none; `hub.device-conflict` for an approved key, and for a revoked one that still has certificates to refuse.
 */
export function forget(
  { store, journal }: Books,
  id: DeviceId,
  fingerprint: Fingerprint | undefined,
  by: string,
): readonly Device[] {
  return store.transaction(() => {
    const known = named(store, id, fingerprint);
    const faults = new Map(known.map((device) => [device, keptFor({ store }, device)]));
    const chosen = known.filter((device) => faults.get(device) === undefined);
    const fault = [...faults.values()].find((each) => each !== undefined);
    if (chosen.length === 0)
      throw fault ?? new Fault("hub.device-unknown", `forget "${id}": it has never asked; devices list shows what is known`);
    for (const device of chosen) {
      store.certificates.remove(id, device.fingerprint);
      store.devices.remove(id, device.fingerprint);
      journal("device.forgotten", id, { fingerprint: device.fingerprint, state: device.state, by });
    }
    return chosen;
  });
}

/** The decision, and the journal's word of it. */
function decided({ store, journal }: Books, device: Device, state: "approved" | "denied" | "revoked", by: string): Device {
  const { id, fingerprint } = device;
  store.devices.decide(id, fingerprint, state, Date.now(), by);
  journal(`device.${state}`, id, { fingerprint, by });
  return { ...device, state };
}

/** All keys seen with this id, or the one meant. @throws Fault `hub.device-unknown` for a pair that never asked. */
function named(store: Books["store"], id: DeviceId, fingerprint: Fingerprint | undefined): readonly Device[] {
  const known = store.devices.ofId(id);
  if (fingerprint === undefined) return known;
  const pair = known.filter((each) => each.fingerprint === fingerprint);
  if (pair.length === 0) throw unknownPair(known, id, fingerprint);
  return pair;
}

/** @returns why this one must stay in the books, if so. */
function keptFor({ store }: Pick<Books, "store">, { id, fingerprint, state }: Device): Fault | undefined {
  if (state === "approved")
    return new Fault(
      "hub.device-conflict",
      `forget "${id}" with key ${fingerprint}: it is approved; run devices revoke ${id} first`,
    );
  const endMs = store.certificates.lastEndMs(id, fingerprint);
  if (endMs === undefined || endMs < Date.now()) return undefined;
  const end = new Date(endMs).toISOString();
  return new Fault(
    "hub.device-conflict",
    `forget "${id}" with key ${fingerprint}: it has a certificate until ${end}, and the hub must know until then that it was revoked`,
  );
}

function unknownPair(known: readonly Device[], id: DeviceId, fingerprint: Fingerprint): Fault {
  const seen = known.map((device) => `${device.fingerprint} (${device.state})`).join(", ");
  return new Fault(
    "hub.device-unknown",
    `no device "${id}" has asked with key ${fingerprint}; ${seen === "" ? "none has asked with that id" : `seen with that id: ${seen}`}`,
  );
}
