// The peer of the whole agent: mqtt.js with default settings and the same MQTT session as the
// agent. Arguments: see session.ts.
import mqtt from "mqtt";
import { sessionArguments } from "./session.ts";

const { port, id, authority, cert, key } = sessionArguments();
const client = mqtt.connect(`mqtts://127.0.0.1:${port}`, { ca: authority, cert, key, clientId: id });
client.on("connect", () => {
  client.subscribe(
    ["update", "policy", "operation", "audit"].map((channel) => `sallyport/1/${id}/down/${channel}`),
    { qos: 1 },
  );
});
