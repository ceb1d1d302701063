// Who makes room when too many wait: anybody may ask, so the places are what strangers fight over. None is refused for the crowd's sake, or the crowd would keep
// the device out; whoever takes the most places gives one up, so that a crowd displaces itself. Pure.
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { PENDING_PER_ID_MAX, PENDING_PER_SOURCE_MAX, PENDING_REQUESTS_MAX } from "../limits.ts";

/** A request that waits for an operator. */
export interface PendingRequest {
  readonly id: DeviceId;
  readonly fingerprint: Fingerprint;
  readonly address: string;
  readonly requestedAtMs: number;
  /** When it was repeated last. */
  readonly seenAtMs: number;
}

export interface Displaced {
  readonly waiting: PendingRequest;
  /** Which bound was reached: requests for one id, from one source, or altogether. */
  readonly over: "id" | "source" | "hub";
  /** The source that gave up the place. */
  readonly from: string;
}

/** @returns which of `waiting` go, so that a new request has a place within every bound. */
export function makeRoom(
  waiting: readonly PendingRequest[],
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
    const there = waiting.filter((each) => counts(each) && !displaced.some((gone) => gone.waiting === each));
    for (let excess = there.length + 1 - max; excess > 0; excess--) {
      const [first] = ofLargest(there, source).toSorted(lessPersistentFirst);
      if (first === undefined) break;
      there.splice(there.indexOf(first), 1);
      displaced.push({ waiting: first, over, from: sourceOf(first.address) });
    }
  }
  return displaced;
}

/** Those of the source that takes the most places, the newcomer's counted in; of all such sources when there are several. */
function ofLargest(waiting: readonly PendingRequest[], newcomer: string): readonly PendingRequest[] {
  const bySource = Map.groupBy(waiting, ({ address }) => sourceOf(address));
  const places = (source: string, requests: readonly PendingRequest[]): number => requests.length + (source === newcomer ? 1 : 0);
  const most = Math.max(0, ...[...bySource].map(([source, requests]) => places(source, requests)));
  return [...bySource].filter(([source, requests]) => places(source, requests) === most).flatMap(([, requests]) => requests);
}

/** A device asks again and again; what asked once goes before what came back, then what has been silent for longest. */
function lessPersistentFirst(a: PendingRequest, b: PendingRequest): number {
  const once = ({ requestedAtMs, seenAtMs }: PendingRequest): number => (seenAtMs === requestedAtMs ? 0 : 1);
  return once(a) - once(b) || a.seenAtMs - b.seenAtMs;
}

/** What counts as one source: an IPv4 address, or an IPv6 network of 64 bits (RFC 4291 section 2.5.4), of which anybody has a whole one. */
export function sourceOf(address: string): string {
  const plain = (address.split("%")[0] ?? "").replace(/^::ffff:(?=\d+\.)/iu, "");
  if (!plain.includes(":")) return plain;
  const [head = [], tail = []] = plain.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => "0");
  const groups = plain.includes("::") ? [...head, ...zeros, ...tail] : head;
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/u, "").toLowerCase())
    .join(":")}::/64`;
}
