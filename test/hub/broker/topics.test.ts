// The topics that a device reaches on the broker: its own, over real TLS with a real MQTT client
// that tries others.
import { once } from "node:events";
import type { MqttClient } from "mqtt";
import { test } from "tap";
import { connect, enrolled, labDevice, labHub, labMessage, type LabClient } from "../../lab/worlds/hub.ts";
import type { Hub } from "../../../hub/index.ts";
import { eventually } from "../../lab/runner/process.ts";

test("[TUN-11] a device subscribes to its own down/ topics, and to nothing else", async (t) => {
  const { hub } = await labHub(t);
  const { client } = await joined(t, hub, "gw-1");
  for (const topic of ["down/update", "down/policy", "down/operation", "down/audit", "down/+", "down/#"]) {
    const [granted] = await client.subscribeAsync(`sallyport/1/gw-1/${topic}`, { qos: 1 });
    t.equal(granted?.qos, 1, topic);
  }
  const foreign = [
    "sallyport/1/gw-2/down/update",
    "sallyport/1/gw-2/up/status",
    "sallyport/1/gw-1/up/event",
    "sallyport/1/gw-1/down/other",
    "sallyport/1/gw-1/#",
    "sallyport/1/+/down/update",
    "sallyport/1/+/down/#",
    "sallyport/#",
    "+/+/gw-1/down/update",
    "#",
    "+",
    "$SYS/#",
    "$SYS/+/new/clients",
    "sallyport/1/gw-1/down/update/x",
    "sallyport/1/gw-10/down/update",
  ];
  for (const topic of foreign) t.equal(await granted(client, topic), 128, topic);
  const refused = (await hub.store.journal.tail(100, "alert")).filter(({ event }) => event === "topic.refused");
  t.equal(refused.length, foreign.length, "each is an alert, because a sound agent never asks");
  t.match(refused[0], { deviceId: "gw-1", detail: { verb: "subscribe", topic: foreign[0] } });
});

test("[TUN-11] publishing outside its own up/ ends the connection and is noted", async (t) => {
  const { hub } = await labHub(t);
  const seen: string[] = [];
  hub.events.on("message", ({ deviceId, channel }) => seen.push(`${deviceId} ${channel}`));
  const victim = await joined(t, hub, "gw-2");
  const got: string[] = [];
  victim.client.on("message", (topic) => got.push(topic));
  await victim.client.subscribeAsync("sallyport/1/gw-2/down/#", { qos: 1 });
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const topics = [
    "sallyport/1/gw-2/up/status",
    "sallyport/1/gw-2/down/operation",
    "sallyport/1/gw-1/down/operation",
    "sallyport/1/gw-1/up/other",
    "sallyport/1/gw-1/up/event/x",
    "$SYS/x",
    "x",
  ];
  for (const topic of topics) {
    const { client } = await connect(t, hub, device, cert);
    const ended = closed(client);
    client.publish(topic, labMessage({ kind: "test" }), { qos: 1 }, () => undefined);
    await ended;
  }
  t.same(seen, []);
  t.same(got, []);
  const refused = (await hub.store.journal.tail(100, "alert")).map(({ deviceId, detail }) => [deviceId, detail["topic"]]);
  t.same(
    refused,
    topics.map((topic) => ["gw-1", topic]),
  );
});

test("[TUN-9] only up/status may be retained", async (t) => {
  const { hub } = await labHub(t);
  const { client } = await joined(t, hub, "gw-1");
  await client.publishAsync("sallyport/1/gw-1/up/status", labMessage({ state: "online" }), { qos: 1, retain: true });
  const ended = closed(client);
  client.publish("sallyport/1/gw-1/up/event", labMessage({ kind: "test" }), { qos: 1, retain: true }, () => undefined);
  await ended;
  t.match(await hub.store.journal.tail(10, "alert"), [{ event: "topic.refused", detail: { reason: /retained/ } }]);
});

test("[TUN-9] the will of a disconnected device becomes its status", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const payload = Buffer.from(labMessage({ state: "offline", reason: "lost" }));
  const will = { topic: "sallyport/1/gw-1/up/status", payload, qos: 1, retain: true } as const;
  const { socket } = await connect(t, hub, device, await enrolled(hub, device), { will });
  const received = once(hub.events, "message");
  socket.destroy();
  t.match(await received, [{ deviceId: "gw-1", channel: "status", fresh: true }]);
  t.match(await hub.store.messages.last(device.id, "status", 1), [{ body: '{"state":"offline","reason":"lost"}' }]);
});

test("[TUN-8] a message sent again under its id is acknowledged but stored once", async (t) => {
  const { hub } = await labHub(t);
  const { client } = await joined(t, hub, "gw-1");
  const fresh: boolean[] = [];
  hub.events.on("message", (received) => fresh.push(received.fresh));
  const message = labMessage({ kind: "test", n: 1 });
  await client.publishAsync("sallyport/1/gw-1/up/event", message, { qos: 1 });
  await client.publishAsync("sallyport/1/gw-1/up/event", message, { qos: 1 });
  await eventually("both", async () => (fresh.length === 2 ? true : undefined));
  t.same(fresh, [true, false]);
  t.equal((await hub.store.messages.last((await labDevice("gw-1")).id, "event", 10)).length, 1);
});

test("[TUN-8] an invalid message is dropped with a note, and acknowledged, because sending it again would not help", async (t) => {
  const { hub } = await labHub(t);
  const { client } = await joined(t, hub, "gw-1");
  for (const payload of ["", "not json", "{}", labMessage({}), labMessage({ kind: "test" }, "not-a-uuid"), "[".repeat(5000)])
    await client.publishAsync("sallyport/1/gw-1/up/event", payload, { qos: 1 });
  t.ok(client.connected);
  const noted = await hub.store.journal.tail(100, "warning");
  t.ok(noted.length >= 4);
  t.ok(noted.every(({ event, deviceId }) => event === "message.refused" && deviceId === "gw-1"));
});

test("[TUN-7] a message over its bound ends the connection", async (t) => {
  const { hub } = await labHub(t);
  for (const bytes of [262_145, 300_000]) {
    const { client } = await joined(t, hub, `gw-${bytes}`);
    const ended = closed(client);
    client.publish(`sallyport/1/gw-${bytes}/up/event`, "x".repeat(bytes), { qos: 1 }, () => undefined);
    await ended;
  }
  t.same(
    (await hub.store.journal.tail(10, "warning")).map(({ event }) => event),
    ["topic.refused", "packet.refused"],
    "the one by its payload, the other by its header, before it is in memory",
  );
});

async function joined(t: Parameters<typeof connect>[0], hub: Hub, id: string): Promise<LabClient> {
  const device = await labDevice(id);
  return connect(t, hub, device, await enrolled(hub, device));
}

/** The return code of the SUBACK; 128 is a refusal. */
async function granted(client: MqttClient, topic: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    client.subscribe(topic, { qos: 1 }, (_error, _grants, packet) => resolve(Number(packet?.granted[0])));
  });
}

async function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}
