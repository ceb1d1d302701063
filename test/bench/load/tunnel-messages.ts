// Rounds of messages through our tunnel. Last arguments: `deliver` or `publish`, messages in
// flight, bytes of payload, and a directory for the spool.
import { assert } from "../../../hal/fault.ts";
import { check } from "../../../hal/format/schema.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { linuxClock } from "../../../hal/linux/clock/index.ts";
import { linuxAppendFiles, linuxFiles } from "../../../hal/linux/files/index.ts";
import { createTunnel, openSpool, SPOOL_LIMITS_DEFAULT, TIMEOUTS_DEFAULT } from "../../../agent/tunnel/index.ts";
import { inWindow, serveRounds } from "./rounds.ts";
import { sessionArguments } from "./session.ts";

const { port, id, authority, cert, key, rest } = sessionArguments();
const [path = "", width = "", filling = "", directory = ""] = rest;
const clock = linuxClock();
const losses: string[] = [];

const spool = await openSpool({
  files: await linuxAppendFiles(`${directory}/spool`),
  limits: SPOOL_LIMITS_DEFAULT,
  clock,
  bootId: undefined,
  clockIsSynced: () => true,
  onDrop: ({ reason }) => losses.push(reason),
  onFault: (fault) => losses.push(String(fault)),
});
const connected = Promise.withResolvers<void>();
const tunnel = createTunnel({
  deviceId: check(deviceIdSchema, id, "ID"),
  anchors: { host: "localhost", mqttPort: port, authority },
  connectTo: { host: "127.0.0.1", port },
  alpn: undefined,
  proxy: undefined,
  minTls: "TLSv1.3",
  keepaliveS: 60,
  credentials: async () => ({ cert, key }),
  spool,
  files: await linuxFiles(`${directory}/state`),
  clock,
  random: Math.random,
  timeouts: TIMEOUTS_DEFAULT,
  birth: () => ({ state: "online" }),
  onEvent: (event) => {
    if (event.kind === "connected") connected.resolve();
    else losses.push(event.kind);
  },
});
await tunnel.start();
await connected.promise;
await inTime(() =>
  tunnel.deliver("audit", {}).then(
    () => true,
    () => false,
  ),
);

const body = { kind: "bench.event", text: "x".repeat(Number(filling)) };
const send = path === "deliver" ? () => tunnel.deliver("audit", body) : () => tunnel.publish("event", body);

serveRounds(async (count) => {
  await inWindow(count, Number(width), send);
  // published means durable here; a round ends when the broker has acknowledged all messages
  await inTime(async () => spool.status().messages === 0);
  assert(losses.length === 0, `nothing is lost, and the connection stays up: ${losses.join(", ")}`);
  return {};
});

async function inTime(done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await clock.sleep(1);
}
