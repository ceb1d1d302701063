// A cloned device: two clients with one certificate and so one id. Mosquitto ends the older
// connection whenever the other one comes.
import { t as root, test } from "tap";
import * as v from "valibot";
import { deviceIdSchema } from "../../hal/format/identity.ts";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);
const skip = needs("mosquitto", "openssl");

test("[TUN-5] the kick loop of two clients with one id is detected and waited out", { skip }, async (t) => {
  const pki = makePki(directory);
  const broker = await startMosquitto(t, { authority: pki.authority, server: pki.server });
  const device = await labTunnel(t, { pki, port: broker.port });
  const clone = await labTunnel(t, { pki, port: broker.port });
  await device.tunnel.start();
  await clone.tunnel.start();
  const kicked = await eventually("one of them sees it", async () =>
    [device, clone].find(({ events }) => events.some(({ kind }) => kind === "kicked")),
  );
  const { kicks, fault } = await kicked.event("kicked");
  t.equal(kicks, 3);
  t.equal(fault.code, "tunnel.kicked");
  t.match(fault.message, /"gw-1"/u);
  const { state, retryInS } = kicked.tunnel.status();
  t.equal(state, "waiting");
  t.ok((retryInS ?? 0) > 200, "at the largest bound, which is 300 s");
});

test(
  "[TUN-11] a device that claims another id does not get its topics: the broker goes by the certificate",
  { skip },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startMosquitto(t, { authority: pki.authority, server: pki.server });
    const override = { deviceId: v.parse(deviceIdSchema, "gw-2") };
    const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, override });
    await tunnel.start();
    const { by, fault } = await event("disconnected");
    t.equal(by, "fault");
    t.equal(fault.code, "tunnel.refused", fault.message);
  },
);
