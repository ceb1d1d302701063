// One key in the place of another, as an operator decides: after a board was replaced.
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { type Test, test } from "tap";
import { approve, deny, replace, requestDigest, revoke } from "../../../hub/devices/index.ts";
import type { Hub } from "../../../hub/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import {
  certificateIn,
  connect,
  enrolled,
  enrolledBefore,
  labDevice,
  type LabDevice,
  labHub,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";
import { connectPacket } from "../../lab/worlds/mqtt-bytes.ts";
import { eventually } from "../../lab/runner/process.ts";

async function states(hub: Hub): Promise<Readonly<Record<string, string>>> {
  return Object.fromEntries((await hub.store.devices.list(100)).map(({ fingerprint, state }) => [fingerprint, state]));
}

/** A device in force, and another board that has asked with its id. */
async function twoBoards(t: Test, protection: "tpm" | "file" = "tpm") {
  const { hub, state } = await labHub(t);
  const old = await labDevice("gw-1", { protection: "tpm" });
  const cert = await enrolledBefore(hub, state, old, { agoMs: 600_000, lifeMs: 1_000_000 });
  const board = await labDevice("gw-1", { protection });
  const asked = await simpleEnrol(hub, board.csr);
  t.equal(asked.status, 202);
  const command = (...argv: readonly string[]) => hubCommand(state, "devices", ...argv);
  const replaceBy = (device: LabDevice, ...more: readonly string[]) => command("replace", device.id, device.fingerprint, ...more);
  return { hub, state, old, cert, board, asked, command, replaceBy };
}

test("[ID-62] a weaker key for a known id waits, is an alert, and is put in force by devices replace --weaker only", async (t) => {
  const { hub, old, cert, board, asked, command, replaceBy } = await twoBoards(t, "file");
  t.match(asked.body.toString(), `devices approve gw-1 ${board.fingerprint}`);
  t.notMatch(asked.body.toString(), /replace|weaker|tpm/u, "a stranger learns nothing about the key in force");
  t.match(await hub.store.journal.tail(1, "alert"), [
    {
      event: "device.other-key",
      detail: { fingerprint: board.fingerprint, protection: "file", approvedProtection: "tpm", weaker: true },
    },
  ]);
  const list = (await command("list")).out.join("\n");
  t.match(list, `replaces tpm key ${old.fingerprint} by a file key: weaker; if that is right, run:`);
  t.match(list, `sallyport-hub devices replace gw-1 ${board.fingerprint} --weaker`);
  const json = (await command("list", "--json")).out.find((line) => line.includes('"pending"')) ?? "";
  t.match(JSON.parse(json), {
    protection: "file",
    replaces: { fingerprint: old.fingerprint, protection: "tpm", weaker: true, proven: false },
  });

  t.match(await command("approve", board.id, board.fingerprint), { code: 1, err: [/stays in force; .*devices replace gw-1/u] });
  t.match(await replaceBy(board), { code: 1, err: [/is weaker; if that is right, run .*--weaker/u] });
  t.same(await states(hub), { [old.fingerprint]: "approved", [board.fingerprint]: "pending" });
  t.equal((await simpleReenrol(hub, old.csr, cert, old.keyPem)).status, 200, "the old key stays in force");
  const { client } = await connect(t, hub, old, cert);
  const closed = new Promise<void>((resolve) => void client.once("close", () => resolve()));

  const done = await replaceBy(board, "--weaker");
  t.equal(done.code, 0);
  t.match(done.err.join("\n"), `The tpm key ${old.fingerprint} was revoked with its certificates`);
  await closed; // a running hub ends its connection
  const notices = await hub.store.journal.tail(20, "notice");
  t.match(
    notices.filter(({ event }) => event === "device.replaced"),
    [{ event: "device.replaced", deviceId: "gw-1", detail: { fingerprint: board.fingerprint, replaced: old.fingerprint } }],
  );
  t.match((await command("list")).out.join("\n"), `replaced by ${board.fingerprint}`);
});

test("[ID-62] after a replacement the old key's certificates and its requests are refused at once, and the new key has the id", async (t) => {
  const { hub, old, cert, board, replaceBy } = await twoBoards(t);
  t.equal((await replaceBy(board)).code, 0);
  t.equal((await connect(t, hub, old, cert)).connack, 5);
  t.match(await answerTo(simpleReenrol(hub, old.csr, cert, old.keyPem)), [401, /revoked/u]);
  t.match(await answerTo(simpleEnrol(hub, old.csr)), [403, /^hub\.device-revoked/u], "a request from before is no way back");
  const fresh = certificateIn(await simpleEnrol(hub, board.csr));
  t.equal((await connect(t, hub, board, fresh)).connack, 0);
  t.match(await replaceBy(old), { code: 1, err: [/hub\.device-revoked/u] }, "nor does an operator let it in again");
});

test("[ID-62] a connection that was judged before the replacement, and opens after it, ends too", async (t) => {
  const { hub, old, cert, board, command, replaceBy } = await twoBoards(t);
  const other = await labDevice("gw-2");
  const { client } = await connect(t, hub, other, await enrolled(hub, other));
  const kicked = new Promise<void>((resolve) => void client.once("close", () => resolve()));
  const socket = connectTls({
    host: "127.0.0.1",
    servername: "localhost",
    port: hub.mqttPort,
    ca: hub.anchors.authority,
    cert,
    key: old.keyPem,
    ALPNProtocols: ["mqtt"],
  });
  t.teardown(() => socket.destroy());
  await once(socket, "secureConnect");
  const third = await labDevice("gw-3");
  t.equal((await connect(t, hub, third, await enrolled(hub, third))).connack, 0, "the earlier connection was judged by then");
  t.equal((await replaceBy(board)).code, 0);
  t.equal((await command("revoke", other.id)).code, 0);
  await kicked; // the hub has judged all sessions again
  const ended = once(socket.resume(), "close");
  socket.write(connectPacket(old.id));
  await ended;
  t.equal(await hub.store.certificates.valid(old.id, Date.now()), 0);
});

test("[ID-62] of replacements at once one is made, and the other is told that the key in force has changed", async (t) => {
  const { hub, old, board, replaceBy } = await twoBoards(t);
  const third = await labDevice("gw-1", { protection: "tpm" });
  await simpleEnrol(hub, third.csr);
  const done = await Promise.all([replaceBy(board), replaceBy(third)]);
  t.equal(done.filter(({ code }) => code === 0).length, 1);
  t.match(done.find(({ code }) => code === 1)?.err.join("\n"), /somebody else has decided meanwhile, and nothing was replaced/u);
  const found = await states(hub);
  t.equal(found[old.fingerprint], "revoked");
  t.same(new Set([found[board.fingerprint], found[third.fingerprint]]), new Set(["approved", "pending"]));
});

test("[ID-62] a key that is renewed while it is replaced has no certificate that is valid afterwards", async (t) => {
  const { hub, old, cert, board, replaceBy } = await twoBoards(t);
  const [renewed] = await Promise.all([simpleReenrol(hub, old.csr, cert, old.keyPem), replaceBy(board)]);
  t.match(await states(hub), { [old.fingerprint]: "revoked", [board.fingerprint]: "approved" });
  t.equal(await hub.store.certificates.valid(old.id, Date.now()), 0);
  if (renewed.status === 200) t.equal((await connect(t, hub, old, certificateIn(renewed))).connack, 5);
});

test("[ID-62] a replacement needs a key in force and another one, and takes a denied request too", async (t) => {
  const { hub, old, board, command, replaceBy } = await twoBoards(t);
  const context = { store: hub.store };
  t.match(await replaceBy(old), { code: 1, err: [/is the key in force; .*--changed/u] });
  t.match(await replaceBy(await labDevice("gw-1")), { code: 1, err: [/hub\.device-unknown/u] });
  await t.rejects(replace(context, old.id, board.fingerprint, "test", { inForce: board.fingerprint }), {
    code: "hub.device-conflict",
  });
  await deny(context, board.id, board.fingerprint, "test");
  t.equal((await replaceBy(board)).code, 0);
  await revoke(context, board.id, "test");
  const next = await labDevice("gw-1", { protection: "tpm" });
  await simpleEnrol(hub, next.csr);
  t.match(await replaceBy(next), { code: 1, err: [/nothing to replace; run sallyport-hub devices approve gw-1/u] });
  t.equal((await command("approve", next.id, next.fingerprint)).code, 0);
});

test("[ID-62] after a revocation, too, a weaker key needs --weaker", async (t) => {
  const { old, board, command } = await twoBoards(t, "file");
  t.equal((await command("revoke", old.id)).code, 0);
  t.match(await command("approve", board.id, board.fingerprint), {
    code: 1,
    err: [/the last one of that id was tpm, which is stronger/u],
  });
  t.equal((await command("approve", board.id, board.fingerprint, "--weaker")).code, 0);
});

test("[ID-31] approve and replace take the digest that devices list shows, and refuse a request that was sent since", async (t) => {
  const { hub, old, board, command, replaceBy } = await twoBoards(t);
  const first = await labDevice("gw-2", { serialNumber: "S-HARMLESS" });
  const shown = async ({ id, fingerprint }: LabDevice): Promise<string> => {
    const row = await hub.store.devices.find(id, fingerprint);
    const digest = row === undefined ? "" : requestDigest(row, id === old.id ? old.fingerprint : undefined);
    t.match((await command("list")).out.join("\n"), `request  ${digest}`);
    return digest;
  };
  await simpleEnrol(hub, first.csr);
  const same = { key: first.key, audit: first.audit };
  const harmless = await shown(first);
  await simpleEnrol(hub, (await labDevice("gw-2", { ...same, serialNumber: "S-HARMLESS" })).csr);
  t.equal(await shown(first), harmless, "signed anew, and the same request");
  await simpleEnrol(hub, (await labDevice("gw-2", { ...same, serialNumber: "S-EVIL" })).csr);
  const approveBy = (digest: string) => command("approve", first.id, first.fingerprint, "--request", digest);
  t.match(await approveBy(harmless), { code: 1, err: [/asked for something else, .*nothing was decided/u] });
  t.match(await approveBy("short"), { code: 2, err: [/expected 32 hex digits/u] });
  t.equal((await approveBy((await shown(first)).toUpperCase())).code, 0);

  const before = await shown(board);
  const evil = await labDevice("gw-1", { key: board.key, audit: board.audit, protection: "tpm", serialNumber: "S-EVIL" });
  await simpleEnrol(hub, evil.csr);
  t.match(await replaceBy(board, "--request", before), { code: 1, err: [/nothing was decided/u] });
  t.match(await replaceBy(board, "--audit-key", `sha256:${"0".repeat(64)}`), { code: 1, err: [/its audit key is/u] });
  t.equal((await replaceBy(board, "--request", await shown(board))).code, 0);
});

test("[ID-62] the digest names the key in force too: who comes second with an old list replaces nothing", async (t) => {
  const { hub, board, command, replaceBy } = await twoBoards(t);
  const third = await labDevice("gw-1", { protection: "tpm" });
  await simpleEnrol(hub, third.csr);
  const commands = [
    ...(await command("list")).out.join("\n").matchAll(/sallyport-hub devices (replace gw-1 \S+ --request \S+)/gu),
  ];
  t.equal(commands.length, 2, "the list prints them to be typed");
  const of = ({ fingerprint }: LabDevice): readonly string[] =>
    commands.find(([, line = ""]) => line.includes(fingerprint))?.[1]?.split(" ") ?? [];
  t.equal((await command(...of(board))).code, 0);
  t.match(await command(...of(third)), { code: 1, err: [/another key was put in force, and nothing was decided/u] });
  t.equal((await replaceBy(third)).code, 0, "with a fresh decision it does");
});

test("[ID-31] approve --changed takes the digest of the changed request", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const changed = await labDevice("gw-1", { key: device.key, audit: device.audit, serialNumber: "S-2" });
  await simpleReenrol(hub, changed.csr, cert, device.keyPem);
  const approveBy = (digest: string) =>
    hubCommand(state, "devices", "approve", device.id, device.fingerprint, "--changed", "--request", digest);
  const list = (await hubCommand(state, "devices", "list")).out.join("\n");
  const [, bound = ""] = /request {2}(\S+)/u.exec(list) ?? [];
  const [, proposed = ""] = /changed {2}its request (\S+) differs/u.exec(list) ?? [];
  t.match((await hubCommand(state, "devices", "list", "--json")).data, { request: bound, changedRequest: proposed });
  t.equal((await approveBy(bound)).code, 1);
  t.equal((await approveBy(proposed)).code, 0);
});

test("[ID-62] an approval that comes with a replacement at once puts no second key in force", async (t) => {
  const { hub, board } = await twoBoards(t);
  const context = { store: hub.store };
  const results = await Promise.allSettled([
    approve(context, board.id, board.fingerprint, "anna"),
    replace(context, board.id, board.fingerprint, "bob"),
  ]);
  t.equal(results[1].status, "fulfilled");
  const inForce = (await hub.store.devices.list(10)).filter(({ state }) => state === "approved");
  t.match(inForce, [{ fingerprint: board.fingerprint, decidedBy: "bob" }]);
  await eventually(
    "the journal has the decision",
    async () => (await hub.store.journal.tail(5, "notice")).some(({ event }) => event === "device.replaced") || undefined,
  );
});

async function answerTo(answer: ReturnType<typeof simpleEnrol>): Promise<readonly [number, string]> {
  const { status, body } = await answer;
  return [status, body.toString()];
}
