import { randomUUID } from "node:crypto";
import { test } from "tap";
import * as v from "valibot";
import { reportMessageSchema } from "../../../agent/tunnel/format.ts";
import { createInbox } from "../../../agent/tunnel/inbox.ts";
import { INBOX_RUNNING_MAX, SEEN_IDS_MAX } from "../../../agent/tunnel/limits.ts";
import type { Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";

const TOPIC = "sallyport/1/gw-1/down/update";
const hint = (id: string): Buffer =>
  Buffer.from(JSON.stringify({ v: 1, id, at: "2026-01-01T00:00:00.000Z", body: { kind: "check" } }));

function open() {
  const refused: Fault[] = [];
  return { refused, inbox: createInbox(v.parse(deviceIdSchema, "gw-1"), (_channel, fault) => refused.push(fault)) };
}

test("[TUN-7] running handlers are bounded: further messages are refused until there is room", async (t) => {
  const { inbox, refused } = open();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let handled = 0;
  inbox.on("update", reportMessageSchema, async () => {
    handled += 1;
    await done;
  });
  for (let count = 0; count < INBOX_RUNNING_MAX + 3; count += 1) inbox.take(TOPIC, hint(randomUUID()));
  t.equal(handled, INBOX_RUNNING_MAX);
  t.equal(refused.length, 3);
  resolve();
  await done;
  await new Promise((settled) => setImmediate(settled));
  inbox.take(TOPIC, hint(randomUUID()));
  t.equal(handled, INBOX_RUNNING_MAX + 1);
});

test("[TUN-8] a duplicate id is dropped unless its handler failed; the number of remembered ids is bounded", async (t) => {
  const { inbox, refused } = open();
  let calls = 0;
  inbox.on("update", reportMessageSchema, async () => {
    calls += 1;
    if (calls === 1) throw new RangeError("the disk was full");
  });
  const id = randomUUID();
  inbox.take(TOPIC, hint(id));
  await new Promise((settled) => setImmediate(settled));
  t.equal(refused[0]?.code, "message.invalid");
  inbox.take(TOPIC, hint(id));
  inbox.take(TOPIC, hint(id));
  await new Promise((settled) => setImmediate(settled));
  t.equal(calls, 2, "once more after the failure, and not after that");
  for (let count = 0; count < SEEN_IDS_MAX; count += 1) {
    inbox.take(TOPIC, hint(randomUUID()));
    await new Promise((settled) => setImmediate(settled));
  }
  inbox.take(TOPIC, hint(id));
  t.equal(calls, SEEN_IDS_MAX + 3, "the id was forgotten");
});

test("[TUN-11] a message on a topic of another device, direction or channel is refused", async (t) => {
  const { inbox, refused } = open();
  inbox.on("update", reportMessageSchema, () => void t.fail("handled"));
  for (const topic of [
    "sallyport/1/gw-2/down/update",
    "sallyport/1/gw-1/up/event",
    "sallyport/1/gw-1/down/other",
    "$SYS/uptime",
    "",
  ])
    inbox.take(topic, hint(randomUUID()));
  t.equal(refused.length, 5);
});
