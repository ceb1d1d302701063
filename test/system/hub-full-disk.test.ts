// The hub's disk fills up while a device is connected: whoever looks at the hub hears of it.
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { mountSmallDisk } from "../lab/counterparts/small-disk.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { ask, certificateIn, connect, type HubAddress, labDevice, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";

const MAIN = programFile("sallyport-hub");
const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema });
const ROOM_PAGES = 1024;

test(
  "[STA-40] a full disk is said on stderr, in alerts and by /healthz, once; and when it is over",
  { skip: needs("bundles", "mounts") },
  async (t) => {
    const state = join(await temporaryDirectory(t), "hub");
    mkdirSync(state);
    chmodSync(state, 0o700);
    const disk = mountSmallDisk(state, ROOM_PAGES);
    t.teardown(() => disk.unmount());
    const program = (...args: readonly string[]) =>
      startProgram({ name: args.join(" "), command: process.execPath, args: [MAIN, ...args, "--state", state] });
    const run = async (...args: readonly string[]): Promise<string> => {
      const running = program(...args);
      await running.ended;
      return running.lines.join("\n");
    };
    await run("init", "--name", "Plant 7", "--host", "localhost");
    const serving = program("serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
    t.teardown(async () => void (await serving.stop()));
    const { anchors } = v.parse(readySchema, JSON.parse(await serving.line(/"ready"/u)));
    const hub: HubAddress = { anchors, estPort: anchors.estPort, mqttPort: anchors.mqttPort };
    const device = await labDevice("gw-1");
    await simpleEnrol(hub, device.csr);
    await run("devices", "approve", device.id, device.fingerprint);
    const cert = certificateIn(await simpleEnrol(hub, device.csr));
    t.equal((await ask(hub, "/healthz")).status, 200);
    t.equal(await run("alerts"), "none");

    disk.fill(0);
    const told = eventually("the trouble is said", async () => serving.lines.find((line) => line.includes("hub.store-failed")));
    // Until its messages do not fit any more, and its connection ends: the file may have some room.
    const flooding = (async () => {
      const { client } = await connect(t, hub, device, cert);
      const text = "y".repeat(3000);
      while (client.connected)
        await Promise.race([
          client.publishAsync("sallyport/1/gw-1/up/event", labMessage({ kind: "x", text }), { qos: 1 }).catch(() => undefined),
          new Promise<void>((resolve) => void client.once("close", () => resolve())),
        ]);
    })();
    t.match(await told, /disk is full.*make room.*devices keep them and send them again/u);
    await flooding;
    const healthz = await ask(hub, "/healthz");
    t.match([healthz.status, healthz.body.toString()], [503, /^trouble: store: hub\.store-failed/u]);
    t.match(await run("alerts"), /trouble hub\.store-failed: .*make room/u);

    disk.empty();
    await serving.line(/hub\.store-failed: this is over/u);
    t.equal((await ask(hub, "/healthz")).status, 200);
    t.match(await run("alerts", "--all"), /alert hub\.trouble [\s\S]*notice hub\.trouble-over/u);
    t.equal(
      serving.lines.filter((line) => line.startsWith("sallyport-hub: ")).length,
      2,
      "one line when it began, one when it was over",
    );
    t.same(await serving.stop(), { code: 0, signal: null });
  },
);
