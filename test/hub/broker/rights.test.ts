// The rights of a device, over all possible topics.
import fc from "fast-check";
import * as v from "valibot";
import { test } from "tap";
import { DOWN_CHANNELS, UP_CHANNELS } from "../../../agent/tunnel/format.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { mayPublish, mayReceive, maySubscribe } from "../../../hub/broker/rights.ts";

const ME = v.parse(deviceIdSchema, "gw-1");

const channel = fc.constantFrom(...UP_CHANNELS, ...DOWN_CHANNELS, "other");
const level = fc.oneof(
  fc.constantFrom("sallyport", "1", "gw-1", "gw-2", "up", "down", "+", "#", "$SYS", ""),
  channel,
  fc.string({ maxLength: 8 }),
);
const anything = fc.array(level, { minLength: 1, maxLength: 7 }).map((levels) => levels.join("/"));

/** Topics of devices: random ones alone would hardly ever match. */
const device = fc.constantFrom("gw-1", "gw-2", "gw-10");
const real = fc.tuple(device, fc.constantFrom("up", "down"), channel).map((levels) => `sallyport/1/${levels.join("/")}`);
const topics = fc.oneof(real, anything);

/** Real topics with some levels replaced by wildcards, and some truncated. */
const filters = fc.oneof(
  anything,
  fc
    .tuple(real, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), fc.integer({ min: 0, max: 5 }))
    .map(([topic, plus, cut]) => {
      const levels = topic.split("/").map((part, index) => (plus[index] === true ? "+" : part));
      return cut < 5 ? [...levels.slice(0, cut), "#"].join("/") : levels.join("/");
    }),
);

/** Matching by MQTT 3.1.1 section 4.7, independent of the code under test. */
function matches(filter: string, topic: string): boolean {
  const [wanted, given] = [filter.split("/"), topic.split("/")];
  for (const [index, part] of wanted.entries()) {
    if (part === "#") return true;
    if (index >= given.length || (part !== "+" && part !== given[index])) return false;
  }
  return wanted.length === given.length;
}

test("[TUN-11] a granted filter matches no topic but the device's own down/", async () => {
  fc.assert(
    fc.property(filters, topics, (filter, topic) => {
      if (!maySubscribe(ME, filter) || !matches(filter, topic)) return;
      if (!topic.startsWith("sallyport/1/gw-1/down/")) throw new RangeError(`${filter} lets ${topic} through`);
    }),
    { numRuns: 20_000 },
  );
});

test("[TUN-11] a device may publish to six topics and receive from four", async (t) => {
  fc.assert(
    fc.property(topics, (topic) => {
      const own = UP_CHANNELS.some((channel) => topic === `sallyport/1/gw-1/up/${channel}`);
      if ("channel" in mayPublish(ME, { topic, payload: "" }) !== own) throw new RangeError(topic);
    }),
    { numRuns: 20_000 },
  );
  for (const channel of UP_CHANNELS)
    t.same(mayPublish(ME, { topic: `sallyport/1/gw-1/up/${channel}`, payload: "" }), { channel });
  for (const channel of DOWN_CHANNELS) {
    t.ok(mayReceive(ME, `sallyport/1/gw-1/down/${channel}`));
    t.notOk(mayReceive(ME, `sallyport/1/gw-2/down/${channel}`));
  }
  t.notOk(mayReceive(ME, "sallyport/1/gw-1/up/event"));
});
