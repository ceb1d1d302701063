// A store that does not work for a while: its thread is gone, another process keeps it locked, or
// the disk is full. What needs it fails and may be tried again, nothing hangs, the hub says what is
// wrong, and afterwards everything works without a restart.
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "tap";
import * as v from "valibot";
import { parseJson } from "../../../hal/format/json.ts";
import { initHub } from "../../../hub/index.ts";
import { openSqliteThreads } from "../../../hub/store/threaded.ts";
import { privateFile, STATE_FILES } from "../../../hub/state/index.ts";
import { hubAnchorsSchema } from "../../../ota/format/anchors.ts";
import { environment, eventually, startProgram } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { ask, connect, enrolled, type HubAddress, labDevice, labHub, labMessage, simpleEnrol } from "../../lab/worlds/hub.ts";

const IDS = "SELECT deviceId FROM connections ORDER BY deviceId";
const add = (id: string) => ({
  sql: "INSERT INTO connections VALUES (?, 1, '::1', 'aa', 'TLSv1.3', 'c', 'g')",
  parameters: [id],
});

test("[TUN-27] a thread of the store that ends is started again: what it was asked fails, and later calls work", async (t) => {
  const path = join(await temporaryDirectory(t), "hub.db");
  const faults: string[] = [];
  const engine = await openSqliteThreads(path, {
    onEnded: ({ code }) => faults.push(code),
    program: new URL("../../lab/fakes/mortal-store-thread.ts", import.meta.url),
  });
  t.teardown(() => engine.close());
  await engine.commit([add("before")]);
  for (const round of [1, 2]) {
    writeFileSync(`${path}.end`, "");
    await eventually("the hub to hear of it", async () => (faults.length === round ? true : undefined));
    await eventually("reads to work again", async () => engine.read(IDS, []).catch(() => undefined));
    await eventually("commits to work again", async () => engine.commit([add(randomUUID())]).catch(() => undefined));
  }
  t.same(faults, ["hub.store-failed", "hub.store-failed"]);
  const rows = await engine.read(IDS, []);
  t.equal(rows.length, 3, "and what was committed is there");
});

test("[TUN-27] another process keeps the store locked: requests are answered with 503, and messages are sent again", async (t) => {
  const { hub, state } = await labHub(t);
  const faults: string[] = [];
  hub.events.on("trouble", ({ code }) => faults.push(code));
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const { client } = await connect(t, hub, device, cert);
  const other = new DatabaseSync(privateFile(state, STATE_FILES.store));
  t.teardown(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  const message = labMessage({ kind: "test" });
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.publish("sallyport/1/gw-1/up/event", message, { qos: 1 }, () => undefined);
  const newcomer = await labDevice("gw-2");
  const refused = await simpleEnrol(hub, newcomer.csr);
  t.equal(refused.status, 503);
  t.ok(refused.headers["retry-after"]);
  await closed; // without a PUBACK, so the device keeps the message
  t.equal((await ask(hub, "/.well-known/est/cacerts")).status, 200, "what needs no store is served");
  t.equal((await ask(hub, "/healthz")).status, 503, "[STA-40]");
  t.ok(faults.includes("hub.store-failed"), "the hub says so");
  other.exec("ROLLBACK");
  t.equal((await simpleEnrol(hub, newcomer.csr)).status, 202);
  const again = await connect(t, hub, device, cert);
  await again.client.publishAsync("sallyport/1/gw-1/up/event", message, { qos: 1 });
  t.equal((await hub.store.messages.last(device.id, "event", 10)).length, 1);
});

const PROGRAM = join(import.meta.dirname, "../../../hub/main.ts");
const LISTEN = ["--listen", "127.0.0.1", "--json", "--est-port", "0", "--mqtt-port", "0"];
const readySchema = v.object({ estPort: v.number(), mqttPort: v.number(), anchors: hubAnchorsSchema });

test("[TUN-27] a full disk: requests are answered with 503, the hub stays, and works again when there is room", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "lab hub", hosts: ["localhost", "127.0.0.1"] });
  // No file of this process may grow beyond the limit, as on a full disk: prlimit(1), setrlimit(2).
  const hub = startProgram({
    name: "hub",
    command: "/usr/bin/env",
    args: ["-i", ...environment(), process.execPath, PROGRAM, "serve", "--state", state, ...LISTEN],
    endsWithUs: true,
  });
  t.teardown(() => hub.stop("SIGKILL"));
  const line = await hub.line(/"ready"/u);
  const address: HubAddress = v.parse(readySchema, parseJson(Buffer.from(line), 65_536, "ready line"));
  const limit = (bytes: string) => execFileSync("prlimit", ["--pid", String(hub.pid), `--fsize=${bytes}:unlimited`]);
  t.equal((await simpleEnrol(address, (await labDevice("gw-0")).csr)).status, 202);
  limit("4096");
  const device = await labDevice("gw-1");
  const refused = await simpleEnrol(address, device.csr);
  t.equal(refused.status, 503);
  t.match(refused.body.toString(), /cannot use its store/u);
  await hub.line(/hub\.store-failed/u);
  t.equal((await ask(address, "/healthz")).status, 503, "[STA-40]");
  limit("unlimited");
  t.equal((await simpleEnrol(address, device.csr)).status, 202, "and nothing had to be restarted");
});
