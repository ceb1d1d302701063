// What a broker keeps for a device that is away, with a real Mosquitto.
import { randomUUID } from "node:crypto";
import mqtt from "mqtt";
import { test, type Test } from "tap";
import type { Mqtt } from "../../agent/tunnel/machine.ts";
import { updateHintSchema } from "../../agent/tunnel/format.ts";
import { writeMqtt5Refusal } from "../../agent/tunnel/record.ts";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { issue, makePki, type Pki } from "../lab/counterparts/pki.ts";
import { fakeFiles } from "../lab/fakes/files.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";

interface World {
  readonly directory: string;
  readonly pki: Pki;
}

/** @returns the messages that reach a device which was away while the operator sent one. */
async function whileAway(t: Test, { pki, directory }: World, sessionExpiryS: number, version: Mqtt): Promise<readonly string[]> {
  const lab = issue(directory, "lab", pki.authority, { commonName: "lab", names: [], usages: ["clientAuth"] });
  const broker = await startMosquitto(t, { authority: pki.authority, server: pki.server });
  const files = fakeFiles();
  if (version === "3.1.1") await writeMqtt5Refusal(files, Date.now());
  const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, files, override: { sessionExpiryS } });
  const seen: string[] = [];
  tunnel.onMessage("update", updateHintSchema, ({ body }) => void seen.push(body.target));
  await tunnel.start();
  t.match(await event("connected"), { facts: { mqtt: version } });
  const operator = await mqtt.connectAsync({
    host: "localhost",
    port: broker.port,
    protocol: "mqtts",
    ca: pki.authority.cert,
    cert: lab.cert,
    key: lab.key,
    clientId: "lab",
  });
  t.teardown(() => operator.endAsync(true));
  const send = (target: string) => operator.publishAsync("sallyport/1/gw-1/down/update", message(target), { qos: 1 });
  await tunnel.stop();
  await send("os/gateway-100-1.3.0");
  const back = await labTunnel(t, { pki, port: broker.port, files, override: { sessionExpiryS } });
  back.tunnel.onMessage("update", updateHintSchema, ({ body }) => void seen.push(body.target));
  await back.tunnel.start();
  await back.event("connected");
  await send("os/gateway-100-1.3.1");
  await eventually("the later message comes", async () => (seen.includes("os/gateway-100-1.3.1") ? true : undefined));
  return seen;
}

function message(target: string): string {
  const id = randomUUID();
  return JSON.stringify({ v: 1, id, at: new Date().toISOString(), body: { kind: "update.start", target } });
}

test(
  "[TUN-64] a session is kept for the time that is set, and by default none is",
  { skip: needs("mosquitto", "openssl") },
  async (t) => {
    const directory = t.testdir();
    const world = { directory, pki: makePki(directory) };
    t.same(await whileAway(t, world, 0, "5"), ["os/gateway-100-1.3.1"]);
    t.same(await whileAway(t, world, 3600, "5"), ["os/gateway-100-1.3.0", "os/gateway-100-1.3.1"]);
    t.same(await whileAway(t, world, 3600, "3.1.1"), ["os/gateway-100-1.3.0", "os/gateway-100-1.3.1"]);
  },
);
