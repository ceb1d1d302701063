// Who gives a place up when too many wait.
import * as v from "valibot";
import { test } from "tap";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { makeRoom, sourceOf, type PendingRequest } from "../../../hub/devices/pending-quota.ts";
import { PENDING_PER_ID_MAX, PENDING_PER_SOURCE_MAX, PENDING_REQUESTS_MAX } from "../../../hub/limits.ts";

const id = (text: string) => v.parse(deviceIdSchema, text);

/** Asked at `at` milliseconds, and again `again` later. */
function waiting(name: string, address: string, at: number, again = 0): PendingRequest {
  const fingerprint = `sha256:${at.toString(16).padStart(64, "0")}`;
  return { id: id(name), fingerprint, address, requestedAtMs: at, seenAtMs: at + again };
}

const gone = (there: readonly PendingRequest[], name: string, address: string) =>
  makeRoom(there, { id: id(name), address }).map(({ waiting: { seenAtMs }, over, from }) => ({ seenAtMs, over, from }));

test("[ID-7] while there is room nobody gives a place up", async (t) => {
  const seven = Array.from({ length: PENDING_PER_ID_MAX - 1 }, (_, at) => waiting("gw-1", "10.0.0.1", at));
  t.same(gone(seven, "gw-1", "10.0.0.1"), []);
  t.same(gone([...seven, waiting("gw-1", "10.0.0.1", 9)], "gw-2", "10.0.0.1"), [], "another id has places of its own");
});

test("[ID-7] the source with the most requests for the id gives one up: those that asked once first, then the longest silent", async (t) => {
  const crowd = Array.from({ length: PENDING_PER_ID_MAX - 2 }, (_, at) =>
    waiting("gw-1", "10.0.0.66", 100 + at, at === 0 ? 0 : 1),
  );
  const others = [waiting("gw-1", "10.0.0.1", 1), waiting("gw-1", "10.0.0.2", 2)];
  t.same(gone([...others, ...crowd], "gw-1", "10.0.0.3"), [{ seenAtMs: 100, over: "id", from: "10.0.0.66" }]);
  const persistent = crowd.map((each) => ({ ...each, seenAtMs: each.requestedAtMs + 1 }));
  t.same(gone([...others, ...persistent.toReversed()], "gw-1", "10.0.0.3"), [{ seenAtMs: 101, over: "id", from: "10.0.0.66" }]);
});

test("[ID-7] with as many sources as places, what asked once goes before what came back", async (t) => {
  const there = Array.from({ length: PENDING_PER_ID_MAX }, (_, at) => waiting("gw-1", `10.0.0.${at}`, at, at < 6 ? 50 : 0));
  t.same(gone(there, "gw-1", "10.0.1.1"), [{ seenAtMs: 6, over: "id", from: "10.0.0.6" }]);
});

test("[ID-7] one source has so many places; all together so many, and the largest source gives up first", async (t) => {
  const many = (count: number, source: (n: number) => string) =>
    Array.from({ length: count }, (_, at) => waiting(`gw-${at}`, source(at), at));
  const one = many(PENDING_PER_SOURCE_MAX, () => "10.0.0.66");
  t.same(gone(one, "gw-x", "10.0.0.66"), [{ seenAtMs: 0, over: "source", from: "10.0.0.66" }]);
  t.same(gone(one, "gw-x", "10.0.0.1"), []);
  const full = many(PENDING_REQUESTS_MAX, (n) => (n < 10 ? "10.0.0.1" : n < 30 ? "10.0.0.2" : `10.1.${n % 256}.${n >> 8}`));
  t.same(gone(full, "gw-x", "10.0.0.3"), [{ seenAtMs: 10, over: "hub", from: "10.0.0.2" }]);
  const larger = many(PENDING_REQUESTS_MAX + 2, (n) => `10.1.${n % 256}.${n >> 8}`);
  t.equal(gone(larger, "gw-x", "10.0.0.3").length, 3, "a store filled under wider bounds comes within these");
});

test("a source is an IPv4 address, however written, or an IPv6 network of 64 bits", async (t) => {
  t.equal(sourceOf("::ffff:10.0.0.1"), "10.0.0.1");
  t.equal(sourceOf("10.0.0.1"), "10.0.0.1");
  t.equal(sourceOf("2001:db8::1"), sourceOf("2001:db8:0:0:ffff:1:2:3"));
  t.not(sourceOf("2001:db8::1"), sourceOf("2001:db8:0:1::1"));
  t.equal(sourceOf("fe80::1%eth0"), sourceOf("fe80::2%eth1"));
  t.equal(sourceOf("2001:0DB8::1"), "2001:db8:0:0::/64");
  t.equal(sourceOf("?"), "?");
});
