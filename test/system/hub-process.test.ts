// The hub as a process: one owner of its state, decisions of the command line while it serves, an
// orderly end, and a start after a kill.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import * as v from "valibot";
import { test } from "tap";
import { openStore } from "../../hub/store/index.ts";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { type HubAddress, certificateIn, connect, labDevice, labLog, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";
import { eventually, startProgram } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { programFile } from "../lab/runner/programs.ts";
import type { TestContext } from "../lab/runner/context.ts";

const MAIN = programFile("sallyport-hub");
const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema });

async function processes(t: TestContext) {
  const state = join(await temporaryDirectory(t), "hub");
  const program = (...args: readonly string[]) =>
    startProgram({ name: args.join(" "), command: process.execPath, args: [MAIN, ...args, "--state", state] });
  const run = async (...args: readonly string[]) => {
    const running = program(...args);
    const { code } = await running.ended;
    return { code, out: running.lines.join("\n") };
  };
  const serve = async () => {
    const serving = program("serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
    t.teardown(async () => serving.stop());
    const { anchors } = v.parse(readySchema, JSON.parse(await serving.line(/"ready"/)));
    const hub: HubAddress = { anchors, estPort: anchors.estPort, mqttPort: anchors.mqttPort };
    return { serving, hub };
  };
  await run("init", "--name", "Plant 7", "--host", "localhost");
  return { run, serve, state };
}

test("[STA-3] a second hub on the same state is refused with the owner's pid; SIGTERM ends the first in order", async (t) => {
  const { run, serve } = await processes(t);
  const { serving } = await serve();
  const second = await run("serve", "--est-port", "0", "--mqtt-port", "0");
  t.match(second, { code: 1, out: new RegExp(`lock\\.held: .*held by pid ${serving.pid}`) });
  t.same(await serving.stop(), { code: 0, signal: null });
  const { serving: third } = await serve();
  t.same(await third.stop("SIGKILL"), { code: null, signal: "SIGKILL" });
  const { serving: fourth } = await serve();
  t.same(await fourth.stop("SIGINT"), { code: 0, signal: null }, "a killed hub leaves no lock behind");
  t.match(
    (await run("alerts", "--all")).out,
    /hub\.started[\s\S]*hub\.stopped[\s\S]*hub\.started[\s\S]*hub\.started[\s\S]*hub\.stopped/,
  );
});

test("[ID-7] [TUN-3] the command line approves, lists and revokes while the hub serves", async (t) => {
  const { run, serve } = await processes(t);
  const { hub } = await serve();
  const device = await labDevice("gw-1");
  t.equal((await simpleEnrol(hub, device.csr)).status, 202);
  const list = await run("devices", "list", "--json");
  t.match(JSON.parse(list.out), { id: "gw-1", state: "pending", fingerprint: device.fingerprint });
  t.equal((await run("devices", "approve", "gw-1", device.fingerprint)).code, 0);
  const cert = certificateIn(await simpleEnrol(hub, device.csr));
  const { client } = await connect(t, hub, device, cert);
  await eventually("the connection in the list", async () =>
    (await run("devices", "list")).out.includes("connected") ? true : undefined,
  );
  const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
  t.equal((await run("devices", "revoke", "gw-1")).code, 0);
  await ended;
  t.equal((await connect(t, hub, device, cert)).connack, 5);
  t.match(await run("devices", "revoke", "gw-1"), { code: 1, out: /hub\.device-unknown: .*devices\s+list/s });
});

test("[AUD-8] records that were cosigned before a kill are there after it, and the command line shows and verifies them", async (t) => {
  const { run, serve } = await processes(t);
  const { hub, serving } = await serve();
  const device = await labDevice("gw-1");
  await simpleEnrol(hub, device.csr);
  await run("devices", "approve", "gw-1", device.fingerprint);
  const cert = certificateIn(await simpleEnrol(hub, device.csr));
  const { client } = await connect(t, hub, device, cert);
  await client.subscribeAsync("sallyport/1/gw-1/down/audit", { qos: 1 });
  const log = labLog(device, 50);
  const answered = new Promise<void>((resolve) => client.once("message", () => resolve()));
  await client.publishAsync("sallyport/1/gw-1/up/audit", labMessage(log.delivery(0, 50)), { qos: 1 });
  await answered;
  await serving.stop("SIGKILL");
  t.match(await run("audit", "verify", "gw-1"), { code: 0, out: /gw-1: 50 records, all as witnessed; cosigned 20/ });
  const shown = await run("audit", "show", "gw-1", "-n", "2");
  t.equal(shown.out.split("\n").length, 2);
  t.match(shown.out, /^48 .* agent\.started ok by agent mark=one\n49 /);
  t.match(await run("audit", "verify", "gw-2"), { code: 1, out: /no audit trail of "gw-2"/ });
});

test("[TUN-8] messages that the hub acknowledged before a kill are stored after it", async (t) => {
  const { run, serve, state } = await processes(t);
  const first = await serve();
  const device = await labDevice("gw-1");
  await simpleEnrol(first.hub, device.csr);
  await run("devices", "approve", "gw-1", device.fingerprint);
  const cert = certificateIn(await simpleEnrol(first.hub, device.csr));
  const { client } = await connect(t, first.hub, device, cert);
  const acknowledged: string[] = [];
  // A few at a time and without end, so that the kill falls between them on any machine.
  const publish = (): void => {
    const id = randomUUID();
    client.publish("sallyport/1/gw-1/up/event", labMessage({ kind: "test" }, id), { qos: 1 }, (error) => {
      if (error !== undefined && error !== null) return;
      acknowledged.push(id);
      if (acknowledged.length === 50) process.kill(first.serving.pid, "SIGKILL");
      publish();
    });
  };
  for (let window = 0; window < 10; window++) publish();
  t.same(await first.serving.ended, { code: null, signal: "SIGKILL" });
  t.ok(acknowledged.length >= 50);

  const store = await openStore(join(state, "hub.db"));
  t.teardown(() => store.close());
  const stored = new Set((await store.messages.last(device.id, "event", 10_000)).map(({ id }) => id));
  const lost = acknowledged.filter((id) => !stored.has(id));
  t.same(lost, []);
});

test("a mistyped command exits with 2 and the usage, --help with 0", async (t) => {
  const { run } = await processes(t);
  t.match(await run("devices", "approve", "gw-1", "nonsense"), {
    code: 2,
    out: /expected sha256:.*\n?usage: sallyport-hub devices approve ID/s,
  });
  t.match(await run("devices", "approve", "--help"), { code: 0, out: /compare both/ });
  t.match(await run("nonsense"), { code: 2, out: /no command "nonsense/ });
  t.match(await run("init", "--name", "x", "--host", "localhost"), { code: 1, out: /hub\.already-initialised/ });
  t.match(await run("serve", "--est-port", "99999"), { code: 2, out: /a number from 0 to 65535/ });
});
