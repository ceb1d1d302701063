// The quota of pending requests: which one is displaced when it is full.
import * as v from "valibot";
import { test } from "tap";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { displacedBy, type PendingRequest } from "../../../hub/devices/pending-quota.ts";
import { sourceOf } from "../../../hub/source.ts";
import { PENDING_PER_ID_MAX, PENDING_PER_SOURCE_MAX, PENDING_REQUESTS_MAX } from "../../../hub/limits.ts";

const id = (text: string) => v.parse(deviceIdSchema, text);

/** A request of time `at`, in milliseconds, repeated `repeatedAfter` later. */
function pending(name: string, address: string, at: number, repeatedAfter = 0): PendingRequest {
  const fingerprint = `sha256:${at.toString(16).padStart(64, "0")}`;
  return { id: id(name), fingerprint, address, requestedAtMs: at, seenAtMs: at + repeatedAfter };
}

const gone = (there: readonly PendingRequest[], name: string, address: string) =>
  displacedBy(there, { id: id(name), address }).map(({ request: { seenAtMs }, over, from }) => ({ seenAtMs, over, from }));

test("[ID-7] below the bounds no request is displaced", async (t) => {
  const seven = Array.from({ length: PENDING_PER_ID_MAX - 1 }, (_, at) => pending("gw-1", "10.0.0.1", at));
  t.same(gone(seven, "gw-1", "10.0.0.1"), []);
  t.same(gone([...seven, pending("gw-1", "10.0.0.1", 9)], "gw-2", "10.0.0.1"), [], "another id has its own bound");
});

test("[ID-7] the source with the most requests for the id loses one: first one that came once, then the longest silent", async (t) => {
  const flood = Array.from({ length: PENDING_PER_ID_MAX - 2 }, (_, at) =>
    pending("gw-1", "10.0.0.66", 100 + at, at === 0 ? 0 : 1),
  );
  const others = [pending("gw-1", "10.0.0.1", 1), pending("gw-1", "10.0.0.2", 2)];
  t.same(gone([...others, ...flood], "gw-1", "10.0.0.3"), [{ seenAtMs: 100, over: "id", from: "10.0.0.66" }]);
  const persistent = flood.map((each) => ({ ...each, seenAtMs: each.requestedAtMs + 1 }));
  t.same(gone([...others, ...persistent.toReversed()], "gw-1", "10.0.0.3"), [{ seenAtMs: 101, over: "id", from: "10.0.0.66" }]);
});

test("[ID-7] with one request per source, one that came once is displaced before a repeated one", async (t) => {
  const there = Array.from({ length: PENDING_PER_ID_MAX }, (_, at) => pending("gw-1", `10.0.0.${at}`, at, at < 6 ? 50 : 0));
  t.same(gone(there, "gw-1", "10.0.1.1"), [{ seenAtMs: 6, over: "id", from: "10.0.0.6" }]);
});

test("[ID-7] the requests of one source and of all sources are bounded, and the largest source loses one first", async (t) => {
  const many = (count: number, source: (n: number) => string) =>
    Array.from({ length: count }, (_, at) => pending(`gw-${at}`, source(at), at));
  const one = many(PENDING_PER_SOURCE_MAX, () => "10.0.0.66");
  t.same(gone(one, "gw-x", "10.0.0.66"), [{ seenAtMs: 0, over: "source", from: "10.0.0.66" }]);
  t.same(gone(one, "gw-x", "10.0.0.1"), []);
  const full = many(PENDING_REQUESTS_MAX, (n) => (n < 10 ? "10.0.0.1" : n < 30 ? "10.0.0.2" : `10.1.${n % 256}.${n >> 8}`));
  t.same(gone(full, "gw-x", "10.0.0.3"), [{ seenAtMs: 10, over: "hub", from: "10.0.0.2" }]);
  const larger = many(PENDING_REQUESTS_MAX + 2, (n) => `10.1.${n % 256}.${n >> 8}`);
  t.equal(gone(larger, "gw-x", "10.0.0.3").length, 3, "a store that was filled under wider bounds shrinks to these");
});

test("a source is an IPv4 address, in any notation, or an IPv6 network of 64 bits", async (t) => {
  t.equal(sourceOf("::ffff:10.0.0.1"), "10.0.0.1");
  t.equal(sourceOf("10.0.0.1"), "10.0.0.1");
  t.equal(sourceOf("2001:db8::1"), sourceOf("2001:db8:0:0:ffff:1:2:3"));
  t.not(sourceOf("2001:db8::1"), sourceOf("2001:db8:0:1::1"));
  t.equal(sourceOf("fe80::1%eth0"), sourceOf("fe80::2%eth1"));
  t.equal(sourceOf("2001:0DB8::1"), "2001:db8:0:0::/64");
  t.equal(sourceOf("?"), "?");
});
