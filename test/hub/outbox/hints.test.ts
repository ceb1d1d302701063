// Hints and reports: messages to devices that are connected, absent, or revoked.
import { DatabaseSync } from "node:sqlite";
import { test } from "tap";
import { OUTBOX_PER_DEVICE_MAX } from "../../../hub/limits.ts";
import { queueHint } from "../../../hub/outbox/index.ts";
import { openStore } from "../../../hub/store/index.ts";
import { privateFile, STATE_FILES } from "../../../hub/state/files.ts";
import { connect, labHub } from "../../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";
import { eventually } from "../../lab/runner/process.ts";

test("[OTA-42] update start only sends a hint, and an absent device gets it when it connects: once, under one id", async (t) => {
  const { hub, state } = await labHub(t);
  const known = await admitted(hub, "gw-1");
  t.match(await hubCommand(state, "update", "start", "gw-1", "os/gateway-1.json"), { code: 0, out: [/when it connects, until/] });
  const second = await hubCommand(state, "update", "start", "gw-1", "os/gateway-2.json", "--json");
  const id = String(second.data["id"]);
  t.match(second.data, { deviceId: "gw-1", target: "os/gateway-2.json", connected: false });
  const first = await listening(t, hub, known);
  await eventually("the hint", async () => (first.heard.length > 0 ? true : undefined));
  t.match(
    first.heard,
    [{ channel: "update", id: id, body: { kind: "update.start", target: "os/gateway-2.json" } }],
    "the newest says it all",
  );
  await eventually("its acknowledgement", async () => ((await hub.store.outbox.find(id)) === undefined ? true : undefined));
  first.client.end(true);
  const again = await listening(t, hub, known);
  t.equal((await hubCommand(state, "update", "start", "gw-1", "os/gateway-3.json")).code, 0);
  await eventually("the next hint", async () => (again.heard.length > 0 ? true : undefined));
  t.match(again.heard, [{ body: { target: "os/gateway-3.json" } }], "an acknowledged message is not sent again");
  t.match(await hubCommand(state, "update", "start", "gw-1", "../x"), {
    code: 2,
    err: [/TARGET "\.\.\/x" is invalid: .*expected a role/s, /usage/],
  });
});

test("[TUN-8] an unacknowledged message is sent again under its id when the device connects", async (t) => {
  const { hub, state } = await labHub(t);
  const known = await admitted(hub, "gw-1");
  const { client } = await connect(t, hub, known.device, known.certificate, { protocolVersion: 4 });
  client.handleMessage = () => client.stream.destroy(); // heard, not acknowledged
  await client.subscribeAsync("sallyport/1/gw-1/down/+", { qos: 1 });
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  const { data } = await hubCommand(state, "update", "start", "gw-1", "os/gateway-2.json", "--json");
  await closed;
  const id = String(data["id"]);
  t.match(await hub.store.outbox.find(id), { deliveredAtMs: undefined });
  const { heard } = await listening(t, hub, known);
  await eventually("the hint", async () => (heard.length > 0 ? true : undefined));
  t.match(heard, [{ id }]);
});

test("[STA-15] a stored message that the hub cannot read is removed and told, and the messages of all devices go on", async (t) => {
  const { hub, state } = await labHub(t);
  const known = await admitted(hub, "gw-1");
  const faults: string[] = [];
  hub.events.on("fault", ({ message }) => void faults.push(message));
  t.equal((await hubCommand(state, "update", "start", "gw-1", "os/gateway-1.json")).code, 0);
  const database = new DatabaseSync(privateFile(state, STATE_FILES.store));
  database.exec(`INSERT INTO outbox (deviceId, id, channel, kind, message, queuedAt, expiresAt)
    SELECT deviceId, 'of-a-newer-hub', 'later', kind || '2', message, queuedAt, expiresAt FROM outbox`);
  database.close();
  const { heard } = await listening(t, hub, known);
  await eventually("the hint", async () => (heard.length > 0 ? true : undefined));
  t.match(heard, [{ channel: "update" }]);
  t.match(faults, [/^1 messages for devices could not be read/u]);
});

test("the outbox of a device is bounded, other devices are not affected, and an expired message is noted", async (t) => {
  const { hub, state } = await labHub(t);
  const { device } = await admitted(hub, "gw-1");
  const { device: other } = await admitted(hub, "gw-2");
  const store = await openStore(privateFile(state, STATE_FILES.store));
  t.teardown(() => store.close());
  const outgoing = { channel: "operation", kind: "operation", message: "{}", queuedAtMs: 1, expiresAtMs: 2 } as const;
  const waiting = { ...outgoing, queuedAtMs: Date.now(), expiresAtMs: Date.now() + 60_000, deviceId: device.id };
  const numbers = Array.from({ length: OUTBOX_PER_DEVICE_MAX }, (_, n) => n);
  await store.commit(...numbers.map((n) => store.outbox.add({ ...waiting, id: `w${n}`, correlation: `w${n}` })));
  const oneMore = store.outbox.add({ ...waiting, id: "one more", correlation: "x" });
  await t.rejects(store.commit(oneMore), { code: "hub.store-conflict" });
  const hint = { channel: "policy", body: { kind: "repository.changed" } } as const;
  await t.rejects(queueHint(store, device.id, hint, 60_000), { code: "hub.outbox-full" });
  await store.commit(...numbers.map((n) => store.outbox.remove(`w${n}`)));
  await store.commit(
    ...numbers.map((n) => store.outbox.add({ ...outgoing, deviceId: device.id, id: `m${n}`, correlation: `c${n}` })),
  );
  await queueHint(store, other.id, hint, 60_000);
  await eventually("the expired ones to be dropped", async () =>
    (await hub.store.journal.tail(100, "warning")).some(({ event }) => event === "message.expired") ? true : undefined,
  );
  t.equal(await store.outbox.find("m0"), undefined);
  t.equal(
    (await hub.store.journal.tail(100, "warning")).reduce((sum, { times }) => sum + times, 0),
    OUTBOX_PER_DEVICE_MAX,
    "each is counted",
  );
});

test("a revoked device gets no queued message, nor does another one with its id", async (t) => {
  const { hub, state } = await labHub(t);
  await admitted(hub, "gw-1");
  const { data } = await hubCommand(state, "update", "start", "gw-1", "os/gateway-2.json", "--json");
  const id = String(data["id"]);
  t.equal((await hubCommand(state, "devices", "revoke", "gw-1")).code, 0);
  t.equal(await hub.store.outbox.find(id), undefined);
  t.match(await hubCommand(state, "update", "start", "gw-1", "os/gateway-2.json"), { code: 1, err: [/hub\.device-unknown/] });
});

test("wrong usage is answered with what is possible", async (t) => {
  const { state } = await labHub(t);
  t.match(await hubCommand(state, "update", "start", "gw-1", "policy/site.json"), {
    code: 2,
    err: [/expected a release, os\/NAME; devices adopt policies and rosters by themselves/, /^usage/],
  });
  t.match(await hubCommand(undefined, "update", "begin"), {
    code: 2,
    err: [/no command "update begin"; the nearest commands are update start, update status;/],
  });
  t.match(await hubCommand(undefined, "updates"), { code: 2, err: [/no command "updates"; sallyport-hub --help/] });
  t.match(await hubCommand(undefined, "--state", "/srv/hub", "alerts"), {
    code: 2,
    err: [/the option "--state" comes before the command/],
  });
  t.match(await hubCommand(undefined), { code: 2, err: [/no command was given; sallyport-hub --help lists/] });
  t.match(await hubCommand(undefined, "--version"), { code: 0, out: [/^sallyport-hub\/\d/] });
});

test("[OTA-35] update status shows the latest report, and asks the device on request; rollbacks are alerts", async (t) => {
  const { hub, state } = await labHub(t);
  const { report } = await listening(t, hub, await admitted(hub, "gw-1"), () => ({
    result: { phase: "idle", version: "2.0.0" },
  }));
  t.match(await hubCommand(state, "update", "status", "gw-1"), { code: 0, out: [/no update yet/] });
  t.match(await hubCommand(state, "update", "status", "gw-l"), {
    code: 1,
    out: [],
    err: [/hub\.device-unknown: .*devices list/],
  });
  const release = { target: "os/gateway-4.json", counter: 4, digest: "a".repeat(64) };
  await report("update", { kind: "update", update: { phase: "fetching", release } });
  const why = { why: "health", detail: "agent did not greet" };
  await report("update", { kind: "update", update: { phase: "rolled-back", release, reason: why } });
  await report("update", { kind: "update", update: { phase: "no such phase" } });
  t.match((await hubCommand(state, "update", "status", "gw-1", "--json")).data, { deviceId: "gw-1" });
  await report("update", { kind: "update", update: { phase: "rolled-back", release, reason: why } });
  const last = (await hubCommand(state, "update", "status", "gw-1", "--json")).data;
  t.match(last, { deviceId: "gw-1", at: /Z$/, update: { phase: "rolled-back", release, reason: why } });
  t.match((await hubCommand(state, "alerts")).out, [/alert update\.rolled-back gw-1 .*os\/gateway-4\.json.*health/]);
  t.match((await hubCommand(state, "update", "status", "gw-1", "--ask", "--json")).data, {
    update: { phase: "idle", version: "2.0.0" },
  });
});
