// The peer of tunnel-reconnects: mqtt.js with default settings, connect and end.
import tls from "node:tls";
import mqtt from "mqtt";
import { serveRounds } from "./rounds.ts";
import { sessionArguments } from "./session.ts";

const { port, id, authority, cert, key } = sessionArguments();

serveRounds(async (count) => {
  let protocol = "";
  for (let done = 0; done < count; done += 1) {
    const client = await mqtt.connectAsync(`mqtts://127.0.0.1:${port}`, { ca: authority, cert, key, clientId: id });
    if (client.stream instanceof tls.TLSSocket) protocol = client.stream.getProtocol() ?? "";
    await client.endAsync();
  }
  return { tls: protocol };
});
