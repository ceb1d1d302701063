// A captured agent subscribes to what is not its own. A packet with thousands of filters ends the
// connection before the hub works through them, and refused ones are counted in memory: another
// device's request, enrolment and message are answered meanwhile.
import { once } from "node:events";
import type { MqttClient } from "mqtt";
import { connect as connectTls } from "node:tls";
import { test } from "tap";
import { JOURNAL_INTERVAL_MS, MQTT_FILTERS_MAX, MQTT_REFUSALS_MAX } from "../../hub/limits.ts";
import { ask, connect, enrolled, labDevice, labHub, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";
import { subscribePacket } from "../lab/worlds/mqtt-bytes.ts";

const FILTERS = 5000;

async function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

test("[TUN-22] a SUBSCRIBE with 5,000 foreign filters is refused as a whole, and others are served meanwhile", async (t) => {
  const { hub } = await labHub(t);
  const [captured, other] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const cert = await enrolled(hub, captured);
  const peer = await connect(t, hub, other, await enrolled(hub, other));
  const { client } = await connect(t, hub, captured, cert);
  const ended = closed(client);
  const filters = Array.from({ length: FILTERS }, (_, n) => `sallyport/1/gw-x${n}/down/+`);
  client.subscribe(filters, { qos: 1 }, () => undefined);
  const newcomer = await labDevice("gw-3");
  const answers = await Promise.all([
    ask(hub, "/healthz"),
    simpleEnrol(hub, newcomer.csr),
    peer.client.publishAsync("sallyport/1/gw-2/up/event", labMessage({ kind: "test" }), { qos: 1 }),
  ]);
  t.match(answers, [{ status: 200 }, { status: 202 }, { topic: "sallyport/1/gw-2/up/event" }]);
  await ended;
  const journal = await hub.store.journal.tail(1000, "warning");
  t.match(journal, [{ event: "packet.refused", deviceId: "gw-1" }], "one line, and no filter was looked at");
});

test("[TUN-22] eight filters in a SUBSCRIBE are served, and nine end the connection", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const own = (count: number) =>
    Array.from({ length: count }, (_, n) => (n % 2 === 0 ? "sallyport/1/gw-1/down/+" : "sallyport/1/gw-1/down/#"));
  const { client, socket } = await connect(t, hub, device, cert);
  const suback = new Promise((resolve) =>
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "suback") resolve(packet.messageId);
    }),
  );
  socket.write(subscribePacket(7, own(MQTT_FILTERS_MAX)));
  t.equal(await suback, 7);
  const ended = closed(client);
  socket.write(subscribePacket(7, own(MQTT_FILTERS_MAX + 1)));
  await ended;
  t.match(await hub.store.journal.tail(10, "warning"), [{ event: "packet.refused", detail: { filters: MQTT_FILTERS_MAX + 1 } }]);
});

test("[TUN-22] a connection that is refused again and again ends, and every refusal is counted", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  for (let round = 0; round < 4; round++) {
    const { client } = await connect(t, hub, device, cert);
    const ended = closed(client);
    for (let n = 0; n < 2 * MQTT_REFUSALS_MAX; n++) client.subscribe(`sallyport/1/gw-2/down/${round}-${n}`, () => undefined);
    await ended;
  }
  const refused = (await hub.store.journal.tail(1000, "alert")).filter(({ event }) => event === "topic.refused");
  const times = refused.reduce((sum, entry) => sum + entry.times, 0);
  t.ok(times >= 4 * MQTT_REFUSALS_MAX && times <= 4 * 2 * MQTT_REFUSALS_MAX, `${times} refusals`);
  t.ok(refused.length <= 33, "they are counted, not stored one by one");
  const ends = (await hub.store.journal.tail(1000, "info")).filter(({ event }) => event === "connection.closed");
  t.match(
    ends,
    Array.from({ length: 4 }, () => ({ detail: { reason: "too many refusals" } })),
  );
});

test("[TUN-22] refusals cost no write of their own: they are written at intervals, however many there are", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const writes: number[] = [];
  hub.events.on("journal", ({ event, times }) => {
    if (event === "topic.refused") writes.push(times);
  });
  const started = performance.now();
  const rounds = 24;
  for (let round = 0; round < rounds; round++) {
    const { client } = await connect(t, hub, device, cert);
    const ended = closed(client);
    for (let n = 0; n < 2 * MQTT_REFUSALS_MAX; n++) client.subscribe("sallyport/1/gw-2/down/x", () => undefined);
    await ended;
  }
  await hub.store.journal.flush();
  // The same line each time, whose count is raised. One write was asked for by this test, and
  // timers are exact to a millisecond.
  const intervals = Math.ceil((performance.now() - started) / JOURNAL_INTERVAL_MS);
  t.ok((writes.at(-1) ?? 0) >= rounds * MQTT_REFUSALS_MAX, `${writes.at(-1)} refusals are counted`);
  t.ok(writes.length <= intervals + 2, `${writes.length} writes in ${intervals} intervals`);
});

test("[TUN-22] thousands of filters are refused before a device is known, too", async (t) => {
  const { hub } = await labHub(t);
  const socket = connectTls({ host: "127.0.0.1", servername: "localhost", port: hub.mqttPort, ca: hub.anchors.authority });
  await once(socket, "secureConnect");
  socket.on("error", () => undefined);
  socket.resume();
  const ended = once(socket, "close");
  socket.write(
    subscribePacket(
      7,
      Array.from({ length: FILTERS }, () => "#"),
    ),
  );
  await ended;
  t.equal((await ask(hub, "/healthz")).status, 200);
});
