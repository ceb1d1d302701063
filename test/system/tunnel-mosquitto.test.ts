// Mosquitto is killed and restarted while the device publishes: nothing that was spooled is lost,
// and a receiver that drops repeated ids sees nothing twice.
//
// Why that can be claimed: our side forgets a message only with its PUBACK. Mosquitto writes a
// message to the sockets of its subscribers before it answers PUBACK, so a message that was
// acknowledged and did not arrive would be our fault, as long as nothing else can lose it.
// Therefore the subscriber is there before the device may connect (a proxy on the device's way
// opens only then), and it acknowledges nothing: unread acknowledgements would make the kernel of a
// killed broker reset the connection and drop the messages on their way.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import * as v from "valibot";
import { reportMessageSchema, statusMessageSchema } from "../../agent/tunnel/format.ts";
import { linuxAppendFiles } from "../../hal/linux/index.ts";
import { openSwitchableProxy } from "../lab/counterparts/switchable-proxy.ts";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { issue, makePki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { startProxy } from "../lab/counterparts/proxy.ts";
import { durableSubscriber } from "../lab/counterparts/subscriber.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const KILLS = 4;

test(
  "[TUN-6] [TUN-8] [TUN-9] a broker killed and restarted while the device publishes loses nothing that was spooled",
  { skip: needs("mosquitto", "openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const lab = issue(directory, "lab", pki.authority, { commonName: "lab", names: [], usages: ["clientAuth"] });
    const broker = await startMosquitto(t, {
      authority: pki.authority,
      server: pki.server,
      extra: [
        "persistence true",
        `persistence_location ${directory}/`,
        "autosave_interval 1",
        "autosave_on_changes true",
        // Everything that waits for the subscriber is written to it at once.
        "max_inflight_messages 0",
        "max_queued_messages 0",
      ],
    });
    const subscriber = await durableSubscriber(t, {
      port: broker.port,
      authority: pki.authority,
      credential: lab,
      protocolVersion: 5,
      qos: 0,
    });
    const spoolFiles = await linuxAppendFiles(join(directory, "spool"));
    const proxy = await openSwitchableProxy();
    t.teardown(() => proxy.close());
    const { tunnel, spool, event, events } = await labTunnel(t, { pki, port: proxy.port, spoolFiles });

    let spooled = 0;
    const publishing = new AbortController();
    const publisher = (async () => {
      while (!publishing.signal.aborted) {
        const channel = spooled % 3 === 0 ? "result" : "event";
        await tunnel.publish(channel, { kind: "lab.count", count: spooled });
        spooled += 1;
        await sleep(1);
      }
    })();

    t.teardown(async () => {
      publishing.abort();
      await publisher;
    });

    proxy.point(broker.port);
    await tunnel.start();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const { facts } = await event("connected", kill);
      t.equal(facts.mqtt, "5", "MQTT 5 with Mosquitto");
      const before = subscriber.received.length;
      await eventually("messages arrive", async () => (subscriber.received.length > before + 20 ? true : undefined));
      await broker.kill();
      const { by } = await event("disconnected", kill);
      t.equal(by, "peer", "the broker ended it");
      // The broker stays away for at least one attempt, so that messages are only in the spool
      // meanwhile, and so that it is no kick loop.
      await event("refused", events.filter((each) => each.kind === "refused").length);
      proxy.point(undefined);
      await broker.start();
      await subscriber.listening();
      proxy.point(broker.port);
    }
    await event("connected", KILLS);
    publishing.abort();
    await publisher;

    const reports = () =>
      subscriber.received
        .filter(({ topic }) => topic === "sallyport/1/gw-1/up/event" || topic === "sallyport/1/gw-1/up/result")
        .map(({ payload }) => v.parse(reportMessageSchema, JSON.parse(payload)));
    const byId = () => new Map(reports().map((message) => [message.id, message.body["count"]]));
    await eventually("every message arrives", async () =>
      byId().size >= spooled && spool.status().messages === 0 ? true : undefined,
    );
    const counts = [...byId().values()].sort((a, b) => Number(a) - Number(b));
    t.same(
      counts,
      Array.from({ length: spooled }, (_, index) => index),
      "each message once by id, none lost, none duplicated",
    );
    t.comment(`${spooled} spooled, ${reports().length} received, ${KILLS} kills, ${events.length} events`);
    t.equal(spool.status().dropped, 0, "nothing was dropped");

    await tunnel.stop();
    const statuses = () =>
      subscriber.received
        .filter(({ topic }) => topic === "sallyport/1/gw-1/up/status")
        .map(({ payload }) => v.parse(statusMessageSchema, JSON.parse(payload)).body);
    await eventually("the farewell arrives", async () => (statuses().at(-1)?.reason === "clean" ? true : undefined));
    const births = statuses().filter(({ state }) => state === "online");
    t.ok(births.length >= KILLS + 1, "a birth after every CONNACK");
    t.notOk(
      statuses().some(({ reason }) => reason === "lost"),
      "the will is not published",
    );
  },
);

test(
  "[TUN-9] when the connection breaks the will says offline and lost, the next birth says online, and both are retained",
  { skip: needs("mosquitto", "openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const lab = issue(directory, "lab", pki.authority, { commonName: "lab", names: [], usages: ["clientAuth"] });
    const broker = await startMosquitto(t, { authority: pki.authority, server: pki.server });
    const watch = { port: broker.port, authority: pki.authority, credential: lab, protocolVersion: 5 } as const;
    const subscriber = await durableSubscriber(t, watch);
    const proxy = await startProxy(t);
    const override = { proxy: { host: "127.0.0.1", port: proxy.port } };
    const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, override });
    const states = () =>
      subscriber.received
        .map(({ payload }) => v.parse(statusMessageSchema, JSON.parse(payload)).body)
        .map(({ state, reason }) => [state, reason]);
    await tunnel.start();
    await eventually("the birth arrives", async () => states()[0]);
    proxy.cut();
    await event("connected", 1);
    await eventually("will and birth arrive", async () => states()[2]);
    t.same(states(), [
      ["online", undefined],
      ["offline", "lost"],
      ["online", undefined],
    ]);
    proxy.cut();
    await eventually("the second will arrives", async () => states()[3]);
    await tunnel.stop();
    await subscriber.end();
    const late = await durableSubscriber(t, watch);
    await eventually("who comes later sees the last of them", async () => late.received[0]);
    t.equal(late.received[0]?.retain, true);
  },
);
