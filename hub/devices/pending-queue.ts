// Admission of requests from pairs that have not asked before. Requests that come while others are
// written share the next commit, so the quota is counted once for all of them.
import { asFault } from "../../hal/fault.ts";
import { boardText } from "../../hal/format/identity.ts";
import type { JournalWriter } from "../journal.ts";
import { PENDING_ADMITTED_MAX, PENDING_NEW_BURST, PENDING_NEW_PER_S, SAME_KEY_MAX } from "../limits.ts";
import { Pace } from "../pace.ts";
import { sourceOf } from "../source.ts";
import { type Change, type Device, type JournalDetail, retryOnConflict, type Store } from "../store/index.ts";
import { areTwoBoards, boardOf, isMacAlone } from "./boards.ts";
import { isWeakerClaim, protectionName } from "./protection.ts";
import { displacedBy, type PendingRequest } from "./pending-quota.ts";

export type PendingAdmission = Parameters<Store["devices"]["request"]>[0];

export interface PendingQueue {
  /**
   * [ID-27] Charges one new request to its source.
   * @returns whether it may be added; if not, the alert is noted.
   */
  take(address: string): boolean;
  /**
   * Stores the request, and makes room for it. Under a flood, one alert stands for many requests,
   * so that the journal does not grow with them.
   * @throws Fault `hub.store-failed`.
   */
  add(request: PendingAdmission): Promise<void>;
}

export function createPendingQueue(store: Store, journal: JournalWriter): PendingQueue {
  return new Queue(store, journal);
}

interface Waiting {
  readonly request: PendingAdmission;
  readonly done: PromiseWithResolvers<void>;
}

class Queue implements PendingQueue {
  readonly #store: Store;
  readonly #journal: JournalWriter;
  readonly #pace = new Pace({ burst: PENDING_NEW_BURST, perSecond: PENDING_NEW_PER_S });
  readonly #waiting: Waiting[] = [];
  #running = false;

  constructor(store: Store, journal: JournalWriter) {
    this.#store = store;
    this.#journal = journal;
  }

  take(address: string): boolean {
    const from = sourceOf(address);
    if (this.#pace.take(from)) return true;
    this.#journal("enrolment.crowded", undefined, { over: "pace", from, id: undefined });
    return false;
  }

  add(request: PendingAdmission): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ request, done });
    if (!this.#running) void this.#run();
    return done.promise;
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, PENDING_ADMITTED_MAX);
      try {
        const note = await retryOnConflict(() => this.#admit(batch.map(({ request }) => request)));
        for (const { done } of batch) done.resolve();
        note();
      } catch (error) {
        const fault = asFault(error, "hub.store-failed", "store a request");
        for (const { done } of batch) done.reject(fault);
      }
    }
    this.#running = false;
  }

  /** @returns what to write to the journal after the commit. */
  async #admit(requests: readonly PendingAdmission[]): Promise<() => void> {
    const { devices } = this.#store;
    const notes: (() => void)[] = [];
    const changes: Change[] = [];
    let pending: readonly PendingRequest[] = await devices.pending();
    for (const request of requests) {
      const { id, fingerprint, address } = request;
      changes.push(devices.request(request));
      if (pending.some((each) => each.id === id && each.fingerprint === fingerprint)) continue;
      const displaced = displacedBy(pending, { id, address });
      for (const { request: gone } of displaced) changes.push(devices.removePending(gone.id, gone.fingerprint));
      const gone = new Set(displaced.map((each) => each.request));
      pending = [...pending.filter((each) => !gone.has(each)), { ...request, requestedAtMs: request.seenAtMs }];
      const other = otherKey(request, await devices.ofId(id));
      const ofKey = (await devices.ofKey(fingerprint, SAME_KEY_MAX)).filter((each) => each.id !== id);
      notes.push(() => this.#note(request, displaced, other));
      if (ofKey.length > 0) notes.push(() => this.#noteSameKey(request, ofKey));
    }
    await this.#store.commit(...changes);
    return () => {
      for (const note of notes) note();
    };
  }

  /** [ID-95] A key is a board's own, so one that asks for several ids was copied, or lies. */
  #noteSameKey({ id, fingerprint, address }: PendingAdmission, others: readonly Pick<Device, "id" | "state">[]): void {
    const known = others.map((each) => `${each.id} (${each.state})`).join(", ");
    this.#journal("device.same-key", undefined, { id, fingerprint, others: known, address });
  }

  #note(request: PendingAdmission, displaced: ReturnType<typeof displacedBy>, other: Device | undefined): void {
    const { id, fingerprint, protection: claimed, address } = request;
    for (const { over, from } of displaced)
      this.#journal("enrolment.crowded", undefined, { over, from, id: over === "id" ? id : undefined });
    const isFlood = displaced.some(({ over }) => over === "id");
    const protection = protectionName(claimed);
    if (other?.state === "approved" && !isFlood)
      this.#journal("device.other-key", id, {
        fingerprint,
        protection,
        ...inForce(other, claimed),
        ...boards(request, other),
        address,
      });
    else if (other !== undefined && !isFlood)
      this.#journal("device.other-key", id, { fingerprint, protection, ...boards(request, other), address });
    if (displaced.length === 0)
      this.#journal("device.requested", undefined, {
        id,
        fingerprint,
        protection,
        address,
        ...(isMacAlone(request) ? { idFrom: "a MAC alone" } : {}),
      });
  }
}

/**
 * [ID-95] The key in force; otherwise the last one, approved or not, of what must be another board;
 * otherwise one that waits too: boards without cards of their own cannot be told apart. A board
 * that asks with a new key after its old one was decided about, as after a reset, is no news.
 */
function otherKey(request: PendingAdmission, ofId: readonly Device[]): Device | undefined {
  const others = ofId.filter(({ fingerprint }) => fingerprint !== request.fingerprint);
  const inForce = others.find(({ state, overlapUntilMs }) => state === "approved" && overlapUntilMs === undefined);
  return inForce ?? others.findLast((each) => areTwoBoards(request, each)) ?? others.findLast(({ state }) => state === "pending");
}

/** [ID-95] Both boards, so that nobody who sees one id ends the good key of the other board. */
function boards(request: PendingAdmission, device: Device): JournalDetail {
  return {
    board: boardText(boardOf(request)),
    otherBoard: boardText(boardOf(device)),
    otherState: device.state,
    ...(areTwoBoards(request, device) ? { twoBoards: true } : {}),
  };
}

/** [ID-62] What the other key would replace, and whether by less. */
function inForce(device: Device, claimed: Device["protection"]): JournalDetail {
  const { fingerprint: approved, protection } = device;
  return { approved, approvedProtection: protectionName(protection), weaker: isWeakerClaim(claimed, protection) };
}
