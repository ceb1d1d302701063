// The embedded broker speaks MQTT 3.1.1 only, like many clouds: the device finds out once and
// remembers it.
import { t as root, test } from "tap";
import * as v from "valibot";
import { reportMessageSchema, statusMessageSchema } from "../../agent/tunnel/format.ts";
import { startAedes } from "../lab/counterparts/aedes.ts";
import { fakeFiles } from "../lab/fakes/files.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { eventually } from "../lab/runner/process.ts";
import { realClock, labTunnel } from "../lab/worlds/tunnel.ts";
import { startPeer } from "../lab/counterparts/tls-peer.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const WEEK_MS = 7 * 86_400_000;
const directory = await temporaryDirectory(root);

test(
  "[TUN-10] after a refusal of MQTT 5 the device uses 3.1.1, also after a restart; after a week it offers 5 again",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startAedes(t, { pki });
    const files = fakeFiles();
    const first = await labTunnel(t, { pki, port: broker.port, files });
    await first.tunnel.start();
    t.equal((await first.event("connected")).facts.mqtt, "3.1.1");
    t.same(broker.levels, [5, 4]);
    t.notOk(
      first.events.some(({ kind }) => kind === "refused"),
      "a refused version is no refusal to report",
    );
    await first.tunnel.stop();

    const second = await labTunnel(t, { pki, port: broker.port, files });
    await second.tunnel.start();
    await second.event("connected");
    t.same(broker.levels, [5, 4, 4], "remembered");
    await second.tunnel.stop();

    const clock = { ...realClock, nowMs: () => Date.now() + WEEK_MS };
    const third = await labTunnel(t, { pki, port: broker.port, files, override: { clock } });
    await third.tunnel.start();
    await third.event("connected");
    t.same(broker.levels, [5, 4, 4, 5, 4], "asked again");
  },
);

test(
  "[TUN-10] stored state that is damaged or cannot be written costs a connection, not the tunnel",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startAedes(t, { pki });
    const files = fakeFiles();
    files.contents.set("tunnel.json", Buffer.from('{"v":1,"mqtt5RefusedAtMs":"yesterday"}'));
    files.faults.failAlways("file.read-only");
    const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, files });
    await tunnel.start();
    t.equal((await event("connected")).facts.mqtt, "3.1.1");
    t.equal((await event("memory-fault")).fault.code, "file.read-only");
  },
);

test(
  "[TUN-10] a broker that hangs up on MQTT 5 without an answer gets 3.1.1 at the third attempt",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const levels: number[] = [];
    const peer = await startPeer(t, {
      server: pki.server,
      authority: pki.authority,
      onSecure: (socket) =>
        socket.once("data", (connect: Buffer) => {
          const level = connect[connect.indexOf("MQTT") + 4] ?? 0;
          levels.push(level);
          if (level === 5) socket.end();
          else socket.write(Buffer.from([0x20, 0x02, 0x00, 0x00]));
        }),
    });
    const { tunnel, event } = await labTunnel(t, { pki, port: peer.port });
    await tunnel.start();
    t.equal((await event("connected")).facts.mqtt, "3.1.1");
    t.same(levels, [5, 5, 4]);
  },
);

test(
  "[TUN-1] [TUN-8] [TUN-9] birth, reports, the hub's messages and the farewell over MQTT 3.1.1",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startAedes(t, { pki });
    const { tunnel, event, events, spool } = await labTunnel(t, { pki, port: broker.port });
    const heard: unknown[] = [];
    tunnel.onMessage("update", reportMessageSchema, (message) => void heard.push(message.body));
    tunnel.onMessage("policy", reportMessageSchema, () => Promise.reject(new RangeError("not today")));
    await t.rejects(tunnel.deliver("audit", {}), { code: "tunnel.closed" }, "nothing is delivered before there is a tunnel");
    await tunnel.publish("event", { kind: "early" });
    await tunnel.start();
    await event("connected");
    await tunnel.publish("telemetry", { kind: "vitals", load: 0.1 });
    await eventually("all is acknowledged", async () => (spool.status().messages === 0 ? true : undefined));
    await tunnel.deliver("audit", { oldSize: 0 });

    const status = broker.published.find(({ topic }) => topic === "sallyport/1/gw-1/up/status");
    t.equal(status?.retain, true, "the birth message is retained");
    t.match(v.parse(statusMessageSchema, JSON.parse(status?.payload ?? "")).body, { state: "online", mqtt: "3.1.1" });
    t.equal(broker.published[0], status, "and comes before everything else");
    const early = broker.published.find(({ topic }) => topic === "sallyport/1/gw-1/up/event");
    t.equal(v.parse(reportMessageSchema, JSON.parse(early?.payload ?? "")).body["kind"], "early");
    t.ok(broker.published.some(({ topic }) => topic === "sallyport/1/gw-1/up/audit"));

    const hint = (id: string, body: object): string => JSON.stringify({ v: 1, id, at: "2026-01-01T00:00:00.000Z", body });
    const down = (channel: string, payload: string | Buffer): Promise<void> =>
      new Promise((resolve, reject) => {
        const packet = {
          cmd: "publish",
          topic: `sallyport/1/gw-1/down/${channel}`,
          payload,
          qos: 1,
          retain: false,
          dup: false,
        } as const;
        broker.aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
      });
    const once = "3b241101-e2bb-4255-8caf-4136c566a962";
    await down("update", hint(once, { kind: "look" }));
    await down("update", hint(once, { kind: "look" }));
    await eventually("the hint arrives", async () => heard[0]);
    await down("update", "{");
    await down("update", hint("no-uuid", { kind: "look" }));
    await down("update", hint("3b241101-e2bb-4255-8caf-4136c566a963", { kind: "look", v: 2 }).replace('"v":1', '"v":2'));
    await down("update", Buffer.alloc(300, "["));
    await down("policy", hint("3b241101-e2bb-4255-8caf-4136c566a964", { kind: "look" }));
    await down("operation", hint("3b241101-e2bb-4255-8caf-4136c566a965", { kind: "look" }));
    await event("input-refused", 5);
    t.same(heard, [{ kind: "look" }], "a repeated message is handled once, a malformed one never");
    const refusals = events
      .filter((each) => each.kind === "input-refused")
      .map(({ channel, fault }) => `${channel}: ${fault.code}`);
    t.same(refusals.sort(), [
      "operation: message.invalid",
      "policy: message.invalid",
      "update: json.invalid",
      "update: json.invalid",
      "update: message.invalid",
      "update: message.invalid",
    ]);
    await tunnel.stop();
    const farewell = broker.published.filter(({ topic }) => topic === "sallyport/1/gw-1/up/status").at(-1);
    t.match(v.parse(statusMessageSchema, JSON.parse(farewell?.payload ?? "")).body, { state: "offline", reason: "clean" });
    t.equal(tunnel.status().state, "idle");
  },
);
