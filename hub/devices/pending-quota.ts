// The quota of pending requests. Anybody may ask, so strangers can fill it. A new request is never
// refused because the quota is full: then a flood would lock out the real device. Instead, the
// source with the most pending requests loses one, so a flood displaces itself. Pure.
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { PENDING_PER_ID_MAX, PENDING_PER_SOURCE_MAX, PENDING_REQUESTS_MAX } from "../limits.ts";
import { sourceOf } from "../source.ts";

/** A request that waits for an operator. */
export interface PendingRequest {
  readonly id: DeviceId;
  readonly fingerprint: Fingerprint;
  readonly address: string;
  readonly requestedAtMs: number;
  /** When it was last repeated. */
  readonly seenAtMs: number;
}

export interface Displaced {
  readonly request: PendingRequest;
  /** The bound that was reached: requests for one id, from one source, or altogether. */
  readonly over: "id" | "source" | "hub";
  /** The source that lost the request. */
  readonly from: string;
}

/** @returns the requests to remove, so that a new one fits within every bound. */
export function displacedBy(
  pending: readonly PendingRequest[],
  asked: { readonly id: DeviceId; readonly address: string },
): readonly Displaced[] {
  const source = sourceOf(asked.address);
  const bounds = [
    { over: "id", counts: ({ id }: PendingRequest) => id === asked.id, max: PENDING_PER_ID_MAX },
    { over: "source", counts: ({ address }: PendingRequest) => sourceOf(address) === source, max: PENDING_PER_SOURCE_MAX },
    { over: "hub", counts: () => true, max: PENDING_REQUESTS_MAX },
  ] as const;
  const displaced: Displaced[] = [];
  for (const { over, counts, max } of bounds) {
    const counted = pending.filter((each) => counts(each) && !displaced.some(({ request }) => request === each));
    for (let excess = counted.length + 1 - max; excess > 0; excess--) {
      const [first] = ofLargest(counted, source).toSorted(lessPersistentFirst);
      if (first === undefined) break;
      counted.splice(counted.indexOf(first), 1);
      displaced.push({ request: first, over, from: sourceOf(first.address) });
    }
  }
  return displaced;
}

/**
 * The requests of the source that has the most, the new request included; of all such sources when
 * there are several.
 */
function ofLargest(pending: readonly PendingRequest[], newcomer: string): readonly PendingRequest[] {
  const bySource = Map.groupBy(pending, ({ address }) => sourceOf(address));
  const count = (source: string, requests: readonly PendingRequest[]): number => requests.length + (source === newcomer ? 1 : 0);
  const most = Math.max(0, ...[...bySource].map(([source, requests]) => count(source, requests)));
  return [...bySource].filter(([source, requests]) => count(source, requests) === most).flatMap(([, requests]) => requests);
}

/**
 * A real device repeats its request. So a request that came once is removed before one that was
 * repeated, and then the one that has been silent for longest.
 */
function lessPersistentFirst(a: PendingRequest, b: PendingRequest): number {
  const once = ({ requestedAtMs, seenAtMs }: PendingRequest): number => (seenAtMs === requestedAtMs ? 0 : 1);
  return once(a) - once(b) || a.seenAtMs - b.seenAtMs;
}
