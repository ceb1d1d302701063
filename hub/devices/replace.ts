// One key of an id takes the place of another. Until then the old one stays in force, so no request
// and no power cut leaves a device without a key that the hub knows. [ID-62] [ID-63] [ID-64]
import { Fault } from "../../hal/fault.ts";
import { type DeviceId, type Fingerprint, isWeaker, type Protection } from "../../hal/format/identity.ts";
import { OVERLAP_MS_MAX } from "../limits.ts";
import { type Change, type Device, retryOnConflict, type Store } from "../store/index.ts";
import type { DecisionContext } from "./context.ts";
import { expectNamed, type NamedRequest } from "./named.ts";
import { isWeakerClaim, protectionName } from "./protection.ts";
import { replaceCommand, revoked, unknownPair } from "./refusal.ts";

export interface ReplacedKey {
  /** The new key. */
  readonly device: Device;
  /** The key in force until now. */
  readonly replaced: Device;
  /** [ID-64] True while both are approved. */
  readonly overlaps: boolean;
}

export interface ReplaceOptions extends NamedRequest {
  /** Accepts a weaker protection. */
  readonly weaker?: boolean;
  /** Ends the old key at once, also where the device has proven both. */
  readonly now?: boolean;
  /** The key in force that the operator saw; another one is not replaced. */
  readonly inForce?: Fingerprint | undefined;
}

/**
 * [ID-62] Puts a key that has asked in the place of the one in force. Where the device has proven
 * both, the old one ends at the first connection with the new one, otherwise at once.
 * @throws Fault `hub.device-unknown` for a pair that never asked, or an id without a key in force;
 *   `hub.device-revoked`; `hub.device-conflict` for another request, audit key or key in force than
 *   the operator named, and for a weaker key without `weaker`.
 */
export function replace(
  { store }: DecisionContext,
  id: DeviceId,
  fingerprint: Fingerprint,
  by: string,
  options: ReplaceOptions = {},
): Promise<ReplacedKey> {
  return retryOnConflict(async () => {
    const known = await store.devices.find(id, fingerprint);
    if (known === undefined) throw unknownPair(await store.devices.ofId(id), id, fingerprint);
    const action = `replace the key of "${id}"`;
    if (known.state === "revoked") throw revoked(id, fingerprint);
    const inForce = await store.devices.approved(id);
    expectNamed(known, inForce?.fingerprint, options, action);
    if (inForce === undefined)
      throw new Fault(
        "hub.device-unknown",
        `${action}: none of its keys is approved, so there is nothing to replace; run sallyport-hub devices approve ${id} ${fingerprint}`,
      );
    expectReplaceable(known, inForce, options, action);
    const isProven = known.provenBy === inForce.fingerprint && options.now !== true;
    const nowMs = Date.now();
    const other = await successorBeside(store, known, nowMs, by);
    if (isProven) {
      const untilMs = nowMs + OVERLAP_MS_MAX;
      const detail = { ...bothKeys(known, inForce), by, overlapUntil: new Date(untilMs).toISOString() };
      await store.commit(
        store.devices.unchanged(known),
        store.devices.unchanged(inForce),
        ...other,
        store.devices.succeed(id, fingerprint, untilMs, nowMs, by),
        store.journal.entry("device.rekeyed", id, detail, nowMs),
      );
      return { device: { ...known, state: "approved", overlapUntilMs: untilMs }, replaced: inForce, overlaps: true };
    }
    // The next device with this id may be another one.
    const forgotten = known.provenBy === inForce.fingerprint ? [] : [store.outbox.clear(id), store.boards.remove(id)];
    await store.commit(...other, ...replacing(store, known, inForce, nowMs, by), ...forgotten);
    return { device: { ...known, state: "approved", overlapUntilMs: undefined }, replaced: inForce, overlaps: false };
  });
}

/** @throws Fault `hub.device-conflict`. */
function expectReplaceable(known: Device, inForce: Device, { weaker, inForce: seen }: ReplaceOptions, action: string): void {
  if (known.fingerprint === inForce.fingerprint)
    throw new Fault(
      "hub.device-conflict",
      `${action}: ${known.fingerprint} is the key in force; a changed request of it is accepted by sallyport-hub devices approve ${known.id} ${known.fingerprint} --changed`,
    );
  if (seen !== undefined && seen !== inForce.fingerprint)
    throw new Fault(
      "hub.device-conflict",
      `${action}: the key in force is ${inForce.fingerprint}, not ${seen}; somebody else has decided meanwhile, and nothing was replaced; run sallyport-hub devices list and compare again`,
    );
  if (isWeakerClaim(known.protection, inForce.protection) && weaker !== true)
    throw new Fault(
      "hub.device-conflict",
      `${action}: the new key is ${protectionName(known.protection)} where ${protectionName(inForce.protection)} is in force, which is weaker; if that is right, run sallyport-hub ${replaceCommand(known, inForce)}`,
    );
}

/**
 * [ID-64] Ends the key in force in favour of the one that is approved beside it. The broker calls
 * it before it accepts the first connection with the new key, so a device that saw the acceptance
 * needs its old key no more.
 * @returns whether the new key is in force then; false when it was withdrawn meanwhile.
 * @throws Fault `hub.store-failed`.
 */
export function settleSuccessor({ store }: DecisionContext, id: DeviceId, fingerprint: Fingerprint): Promise<boolean> {
  return retryOnConflict(async () => {
    const known = await store.devices.find(id, fingerprint);
    if (known?.state !== "approved") return false;
    if (known.overlapUntilMs === undefined) return true;
    const inForce = await store.devices.approved(id);
    if (inForce === undefined) return false;
    const nowMs = Date.now();
    await store.commit(...replacing(store, known, inForce, nowMs, "the first connection with the new key"));
    return true;
  });
}

/** The new key in force, the old one revoked with its certificates: one commit. */
function replacing(store: Store, known: Device, inForce: Device, nowMs: number, by: string): readonly Change[] {
  const { id, fingerprint } = known;
  return [
    store.devices.unchanged(known),
    store.devices.unchanged(inForce),
    store.devices.replace(id, inForce.fingerprint, fingerprint, nowMs, by),
    store.certificates.revokeAll(id, inForce.fingerprint, nowMs),
    store.devices.decide(id, fingerprint, "approved", nowMs, by),
    store.journal.entry("device.replaced", id, { ...bothKeys(known, inForce), by }, nowMs),
  ];
}

/**
 * What ends another key that is approved beside the one in force. It has never connected, or it
 * would be in force itself.
 */
export async function successorBeside(
  store: Store,
  { id, fingerprint }: Pick<Device, "id" | "fingerprint">,
  nowMs: number,
  by: string,
): Promise<readonly Change[]> {
  const other = await store.devices.successor(id);
  if (other === undefined || other.fingerprint === fingerprint) return [];
  return [
    store.devices.unchanged(other),
    store.devices.replace(id, other.fingerprint, fingerprint, nowMs, by),
    store.certificates.revokeAll(id, other.fingerprint, nowMs),
  ];
}

/** For the journal. */
export function bothKeys(
  known: Pick<Device, "fingerprint" | "protection">,
  inForce: Pick<Device, "fingerprint" | "protection">,
): Readonly<Record<"fingerprint" | "protection" | "replaced" | "replacedProtection", string>> {
  return {
    fingerprint: known.fingerprint,
    protection: protectionName(known.protection),
    replaced: inForce.fingerprint,
    replacedProtection: protectionName(inForce.protection),
  };
}

/**
 * [ID-63] Permits one other key, or takes the permission back.
 * @param permission undefined takes it back.
 * @throws Fault `hub.device-unknown` for an id without a key in force; `hub.device-conflict` for a
 *   protection weaker than that of the key in force.
 */
export function allowRekey(
  { store }: DecisionContext,
  id: DeviceId,
  permission: { readonly to: Protection | undefined; readonly holdMs: number } | undefined,
  by: string,
): Promise<Device> {
  return retryOnConflict(async () => {
    const inForce = await store.devices.approved(id);
    if (inForce === undefined)
      throw new Fault(
        "hub.device-unknown",
        `permit another key for "${id}": none of its keys is approved; run sallyport-hub devices list to see the known devices`,
      );
    const { fingerprint, protection } = inForce;
    if (permission?.to !== undefined && isWeaker(permission.to, protection ?? "file"))
      throw new Fault(
        "hub.device-conflict",
        `permit another key for "${id}": ${permission.to} is weaker than ${protectionName(protection)}, which is in force; a weaker key needs a decision about that very key: sallyport-hub devices replace`,
      );
    const nowMs = Date.now();
    const rekey = permission && { untilMs: nowMs + permission.holdMs, to: permission.to };
    const until = rekey === undefined ? "withdrawn" : new Date(rekey.untilMs).toISOString();
    await store.commit(
      store.devices.unchanged(inForce),
      store.devices.allowRekey(id, fingerprint, rekey),
      store.journal.entry(
        "device.rekey-allowed",
        id,
        { fingerprint, to: rekey?.to ?? protectionName(protection), until, by },
        nowMs,
      ),
    );
    return { ...inForce, rekey };
  });
}
