// A captured agent subscribes to what is not its own. A packet with thousands of filters ends the
// connection before the hub works through them, and refused ones are counted in memory: another
// device's request, enrolment and message are answered meanwhile.
import { once } from "node:events";
import type { MqttClient } from "mqtt";
import { connect as connectTls } from "node:tls";
import { test } from "tap";
import { MQTT_FILTERS_MAX, MQTT_REFUSALS_MAX } from "../../hub/limits.ts";
import { ask, connect, enrolled, labDevice, labHub, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";

const FILTERS = 5000;

async function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

/** MQTT 3.1.1 section 3.8, with QoS 1 for each filter. */
function subscribePacket(filters: readonly string[]): Buffer {
  const body = Buffer.concat([
    Buffer.of(0, 7),
    ...filters.map((filter) =>
      Buffer.concat([Buffer.of(filter.length >> 8, filter.length & 0xff), Buffer.from(filter), Buffer.of(1)]),
    ),
  ]);
  const length: number[] = [];
  for (let left = body.byteLength; left > 0; left = Math.floor(left / 128)) length.push((left % 128) + (left >= 128 ? 128 : 0));
  return Buffer.concat([Buffer.of(0x82, ...length), body]);
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
  socket.write(subscribePacket(own(MQTT_FILTERS_MAX)));
  t.equal(await suback, 7);
  const ended = closed(client);
  socket.write(subscribePacket(own(MQTT_FILTERS_MAX + 1)));
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

test("[TUN-22] thousands of filters are refused before a device is known, too", async (t) => {
  const { hub } = await labHub(t);
  const socket = connectTls({ host: "127.0.0.1", servername: "localhost", port: hub.mqttPort, ca: hub.anchors.authority });
  await once(socket, "secureConnect");
  socket.on("error", () => undefined);
  socket.resume();
  const ended = once(socket, "close");
  socket.write(subscribePacket(Array.from({ length: FILTERS }, () => "#")));
  await ended;
  t.equal((await ask(hub, "/healthz")).status, 200);
});
