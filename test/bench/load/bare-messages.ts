// The peer of tunnel-messages: mqtt.js with default settings, QoS 1, as many messages in flight.
// Last arguments: messages in flight, bytes per message. It keeps nothing on disk and sends the
// same text every time. That is less work than ours, so a ratio below 1 is expected.
import mqtt from "mqtt";
import { inWindow, serveRounds } from "./rounds.ts";
import { sessionArguments } from "./session.ts";

const { port, id, authority, cert, key, rest } = sessionArguments();
const [width = "", bytes = ""] = rest;
const client = await mqtt.connectAsync(`mqtts://127.0.0.1:${port}`, { ca: authority, cert, key, clientId: id });
const payload = "x".repeat(Number(bytes));
const topic = `sallyport/1/${id}/up/event`;

serveRounds(async (count) => {
  await inWindow(count, Number(width), async () => {
    await client.publishAsync(topic, payload, { qos: 1 });
  });
  return {};
});
