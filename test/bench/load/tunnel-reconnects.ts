// Rounds of connections as our tunnel makes them: TLS stream, MQTT session, DISCONNECT.
import { assert } from "../../../hal/fault.ts";
import { openBrokerConnection } from "../../../agent/tunnel/connection.ts";
import { TIMEOUTS_DEFAULT } from "../../../agent/tunnel/limits.ts";
import { createContext, openStream } from "../../../agent/tunnel/stream.ts";
import { serveRounds } from "./rounds.ts";
import { sessionArguments } from "./session.ts";

const { port, id, authority, cert, key } = sessionArguments();
const context = createContext({ cert, key, authority, minTls: "TLSv1.3" });
const { signal } = new AbortController();

async function connectOnce(): Promise<string> {
  const address = { host: "127.0.0.1", port };
  const base = {
    host: "localhost",
    address,
    proxy: undefined,
    alpn: undefined,
    context,
    authority,
    timeoutMs: TIMEOUTS_DEFAULT.streamMs,
  };
  const stream = await openStream({ ...base, signal });
  const outcome = await openBrokerConnection({
    stream,
    mqtt: "5",
    clientId: id,
    keepaliveS: 60,
    sessionExpiryS: 0,
    timeouts: TIMEOUTS_DEFAULT,
    will: { topic: `sallyport/1/${id}/up/status`, payload: Buffer.from("{}") },
    onMessage: () => undefined,
    onRoom: () => undefined,
  });
  assert(outcome.connection !== undefined, "the broker accepts us");
  await outcome.connection.close();
  return stream.facts.protocol;
}

serveRounds(async (count) => {
  let tls = "";
  for (let done = 0; done < count; done += 1) tls = await connectOnce();
  return { tls };
});
