// Boards that claim one id, one key that claims several, and disks on other boards.
import { createPublicKey, sign } from "node:crypto";
import { once } from "node:events";
import { type Test, test } from "tap";
import { buildRequest } from "../../../provisioning/x509/format/index.ts";
import { BOARD_PATH } from "../../../ota/format/board.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import {
  ask,
  connect,
  enrolled,
  labDevice,
  type LabDevice,
  labHub,
  labMessage,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";
import { eventually } from "../../lab/runner/process.ts";
import type { Hub } from "../../../hub/index.ts";

const A = "urn:dev:mac:001b21fffe3a4f58";
const B = "urn:dev:mac:001b21fffe3a4f59";
const C = "urn:dev:mac:001b99fffe3a4f58";

async function alerts(hub: Hub, event: string) {
  await hub.store.journal.flush();
  return (await hub.store.journal.tail(100, "alert")).filter((entry) => entry.event === event);
}

async function twoBoards(t: Test, first: readonly string[], second: readonly string[], serials = ["SN-1", "SN-1"]) {
  const { hub, state } = await labHub(t);
  const inForce = await labDevice("SN-1", { serialNumber: serials[0] ?? "", uris: first });
  await enrolled(hub, inForce);
  const other = await labDevice("SN-1", { serialNumber: serials[1] ?? "", uris: second });
  const asked = await simpleEnrol(hub, other.csr);
  return { hub, state, inForce, other, asked };
}

test("[ID-95] a second board with the id of another one is an alert with both boards, and every place says how to part them", async (t) => {
  const { hub, state, other, asked } = await twoBoards(t, [A, B], [C]);
  t.equal(asked.status, 202);
  t.match(asked.body.toString(), /^enrol\.id-taken: another key is in force for "SN-1", so two boards may claim this id/u);
  t.notMatch(asked.body.toString(), /001b21|sha256:.*sha256:/u, "a stranger learns nothing about the board in force");
  t.match(await alerts(hub, "device.other-key"), [
    {
      deviceId: "SN-1",
      detail: {
        board: "serial SN-1, MAC 00:1b:99:3a:4f:58",
        otherBoard: "serial SN-1, MAC 00:1b:21:3a:4f:58 00:1b:21:3a:4f:59",
        twoBoards: true,
      },
    },
  ]);
  const words =
    /two boards claim this id: in force is serial SN-1, MAC 00:1b:21:.*this one is serial SN-1, MAC 00:1b:99.*id of its own.*device-id/su;
  const refusal = await hubCommand(state, "devices", "approve", "SN-1", other.fingerprint);
  t.match(refusal, { code: 1, err: [words] });
  t.ok(
    (refusal.err[0] ?? "").indexOf("id of its own") < (refusal.err[0] ?? "").indexOf("devices replace"),
    "that advice comes first",
  );
  t.match((await hubCommand(state, "devices", "list")).out.join("\n"), words);
  t.match((await hubCommand(state, "devices", "list", "--json")).out.join("\n"), '"twoBoards":true');
});

test("[ID-95] a board that was given a new key, or a new card, is not called two boards; another serial is", async (t) => {
  for (const [first, second, serials, isTwo] of [
    [[A, B], [A], ["SN-1", "SN-1"], false],
    [[A, B], [B, C], ["SN-1", "SN-1"], false],
    [[A], [], ["SN-1", "SN-1"], false],
    [[A], [A], ["SN-1", "SN-2"], true],
    [[A], [C], ["SN-1", "SN-2"], true],
  ] as const) {
    const { hub, state, other } = await twoBoards(t, first, second, [...serials]);
    const { err } = await hubCommand(state, "devices", "approve", "SN-1", other.fingerprint);
    t.equal(/two boards claim/u.test(err.join("\n")), isTwo, JSON.stringify([first, second, serials]));
    // what nothing tells apart may be two boards all the same
    const isUnknown = second.length === 0;
    const list = (await hubCommand(state, "devices", "list")).out.join("\n");
    for (const text of [err.join("\n"), list])
      t.equal(/two boards may claim this id: in force is .*id of its own/su.test(text), isUnknown, JSON.stringify(second));
    t.match(await alerts(hub, "device.other-key"), [{ detail: { otherBoard: String } }]);
  }
});

test("[ID-95] of two boards that nobody approved yet, the list and the approval of one name the other", async (t) => {
  const { hub, state } = await labHub(t);
  const first = await labDevice("SN-1", { serialNumber: "SN-1", uris: [A] });
  const second = await labDevice("SN-1", { serialNumber: "SN-1", uris: [C] });
  const again = await labDevice("SN-1", { serialNumber: "SN-1", uris: [A] });
  for (const { csr } of [first, second]) t.notMatch((await simpleEnrol(hub, csr)).body.toString(), /id-taken/u);
  t.match(await alerts(hub, "device.other-key"), [
    {
      deviceId: "SN-1",
      detail: { fingerprint: second.fingerprint, otherState: "pending", otherBoard: /00:1b:21/u, twoBoards: true },
    },
  ]);
  t.match(
    (await hubCommand(state, "devices", "list")).out.join("\n"),
    /two boards claim this id: also asking is serial SN-1, MAC 00:1b:99/u,
  );
  t.match(await hubCommand(state, "devices", "approve", "SN-1", first.fingerprint), {
    code: 0,
    err: [/kept/u, /Another board asks with this id \(serial SN-1, MAC 00:1b:99.*id of its own/u],
  });
  t.match((await simpleEnrol(hub, second.csr)).body.toString(), /^enrol\.id-taken/u, "it is told from then on");
  await hubCommand(state, "devices", "revoke", "SN-1");
  await hubCommand(state, "devices", "deny", "SN-1", second.fingerprint);
  const before = (await alerts(hub, "device.other-key")).length;
  await simpleEnrol(hub, again.csr);
  const after = await alerts(hub, "device.other-key");
  t.equal(after.length, before + 1, "the first board after its reset: the denied one is another board");
  t.match(after.at(-1)?.detail, { otherState: "denied" });
});

test("[ID-95] two keys that wait for one id are an alert, also of boards that nothing tells apart", async (t) => {
  const { hub } = await labHub(t);
  const [first, second] = [await labDevice("SN-1"), await labDevice("SN-1")];
  for (const { csr } of [first, second, first, second]) await simpleEnrol(hub, csr);
  const found = await alerts(hub, "device.other-key");
  t.match(found, [{ deviceId: "SN-1", detail: { fingerprint: second.fingerprint, otherState: "pending" } }]);
  t.equal(found.length, 1);
  t.notOk("twoBoards" in (found[0]?.detail ?? {}), "which is not known");
});

test("[ID-95] one key that asks for several ids is an alert, and the list names them", async (t) => {
  const { hub, state } = await labHub(t);
  const first = await labDevice("gw-1");
  await enrolled(hub, first);
  t.same(await alerts(hub, "device.same-key"), []);
  for (const id of ["gw-2", "gw-3"]) await simpleEnrol(hub, (await labDevice(id, { key: first.key })).csr);
  t.match(
    (await alerts(hub, "device.same-key")).map(({ detail }) => detail),
    [
      { id: "gw-2", fingerprint: first.fingerprint, others: "gw-1 (approved)" },
      { id: "gw-3", others: "gw-1 (approved), gw-2 (pending)" },
    ],
  );
  const cert = await enrolled(hub, first);
  t.equal((await simpleReenrol(hub, (await labDevice("gw-4", { key: first.key })).csr, cert, first.keyPem)).status, 403);
  t.match((await alerts(hub, "device.same-key")).at(-1)?.detail, { id: "gw-4", others: "gw-1 (approved)" }, "at renewal too");
  const list = (await hubCommand(state, "devices", "list")).out.join("\n");
  t.match(list, "this key has asked as gw-2, gw-3 too");
  t.match(list, "this key has asked as gw-1, gw-2 too");
});

test("[ID-94] an id that is a MAC alone says so in list, approval and journal; one with a serial does not", async (t) => {
  const { hub, state } = await labHub(t);
  const key = (await labDevice("x")).key;
  const publicKey = createPublicKey(key.export({ format: "pem", type: "pkcs8" })).export({ format: "der", type: "spki" });
  const request = { commonName: "001b213a4f58", serialNumber: undefined, uris: [A], publicKey, auditKey: undefined };
  const csr = await buildRequest(request, async (bytes) => sign("sha256", bytes, { key, dsaEncoding: "der" }));
  await simpleEnrol(hub, csr);
  await simpleEnrol(hub, (await labDevice("001b213a4f59", { serialNumber: "SN-1", uris: [B] })).csr);
  await simpleEnrol(hub, (await labDevice("gw-1")).csr);
  const list = (await hubCommand(state, "devices", "list")).out.join("\n");
  t.equal(list.match(/the id is a MAC alone, which other boards may have/gu)?.length, 1);
  t.match(list, /no serial {2}urn:dev:mac:001b21fffe3a4f58 {2}\(the id is a MAC alone/u);
  await hub.store.journal.flush();
  const requested = (await hub.store.journal.tail(10, "notice")).filter(({ event }) => event === "device.requested");
  t.same(
    requested.map(({ detail }) => detail["idFrom"]),
    ["a MAC alone", undefined, undefined],
  );
});

const BORN = { serial: "SPG2-0A1B2C3D", macs: ["00:1b:21:3a:4f:58", "00:1b:21:3a:4f:59"] };
const FOUND = { serial: "SPG2-CLONE0002", macs: ["00:1b:99:3a:4f:58", "00:1b:99:3a:4f:59"] };

async function told(t: Test) {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const tell = (found: object, members: object = {}) =>
    ask(hub, BOARD_PATH, {
      type: "application/json",
      body: JSON.stringify({ v: 1, deviceId: "gw-1", born: BORN, found, ...members }),
      cert,
      key: device.keyPem,
    });
  return { hub, state, device, cert, tell };
}

test("[ID-97] a disk on another board is an alert, waits for an operator, and only that board is let in", async (t) => {
  const { hub, state, tell } = await told(t);
  const asked = await tell(FOUND);
  t.match({ status: asked.status, body: asked.body.toString() }, { status: 200, body: '{"decision":"wait"}' });
  t.match(await alerts(hub, "device.other-board"), [
    { deviceId: "gw-1", detail: { born: /SPG2-0A1B2C3D.*00:1b:21/u, found: /SPG2-CLONE0002.*00:1b:99/u, address: "127.0.0.1" } },
  ]);
  t.match(
    (await hubCommand(state, "devices", "board", "gw-1")).out.join("\n"),
    /born on.*0A1B2C3D.*found on.*CLONE0002.*--admit/su,
  );
  t.equal((await tell(FOUND)).body.toString(), '{"decision":"wait"}', "showing it decides nothing");
  t.match(await hubCommand(state, "devices", "board", "gw-1", "--admit"), { code: 0, out: [/let in/u] });
  t.equal((await tell(FOUND)).body.toString(), '{"decision":"take"}');
  for (const [what, found] of [
    ["its cards in another order", { ...FOUND, macs: FOUND.macs.toReversed() }],
    ["a driver that is late", { ...FOUND, macs: FOUND.macs.slice(1) }],
    ["a card of it replaced", { ...FOUND, macs: ["00:1b:77:3a:4f:58"] }],
    ["a firmware that has lost the serial", { macs: FOUND.macs.slice(1) }],
  ] as const)
    t.equal((await tell(found)).body.toString(), '{"decision":"take"}', what);
  t.match((await hubCommand(state, "devices", "board", "gw-1")).out.join("\n"), /this board was let in/u);
  t.equal((await tell({ macs: ["00:1b:77:3a:4f:59"] })).body.toString(), '{"decision":"wait"}', "nothing of it is known");
  t.equal(
    (await tell({ ...FOUND, serial: "SPG2-CLONE0003" })).body.toString(),
    '{"decision":"wait"}',
    "a third board is another one",
  );
  t.equal((await alerts(hub, "device.other-board")).length, 3, "once for each board, however often it asks");
  await hubCommand(state, "devices", "revoke", "gw-1");
  t.match(await hubCommand(state, "devices", "board", "gw-1"), { code: 1 }, "the next device with this id is another one");
  t.match(await hubCommand(state, "devices", "board", "gw-9"), { code: 1, err: [/told of no other board/u] });
});

test("[ID-97] a notice needs the device's certificate and its own id, has a pace and bounds, and prints nothing of others", async (t) => {
  const { hub, state, device, tell } = await told(t);
  const body = JSON.stringify({ v: 1, deviceId: "gw-1", born: BORN, found: FOUND });
  t.equal((await ask(hub, BOARD_PATH, { type: "application/json", body })).status, 401, "without a certificate");
  t.equal((await tell(FOUND, { deviceId: "gw-2" })).status, 403, "of another id");
  for (const found of [
    { serial: "\u001b[2J", macs: [] },
    { serial: "x".repeat(65), macs: [] },
    { macs: ["zz"] },
    { macs: Array.from({ length: 17 }, () => FOUND.macs[0]) },
    { ...FOUND, more: 1 },
  ])
    t.equal((await tell(found)).status, 400);
  t.equal(await hub.store.boards.find(device.id), undefined, "nothing of it was stored");
  await hubCommand(state, "devices", "revoke", "gw-1");
  t.equal((await tell(FOUND)).status, 401, "a revoked device");
});

test("[ID-97] the board that was enrolled is told of the disk that waits, once for each news", async (t) => {
  const { hub, device, cert, tell } = await told(t);
  await tell(FOUND);
  await tell(FOUND);
  const { client } = await connect(t, hub, device, cert);
  const heard: string[] = [];
  client.on("message", (_topic, payload) => heard.push(payload.toString()));
  await client.subscribeAsync("sallyport/1/gw-1/down/policy", { qos: 1 });
  const [message] = await eventually("the hint", async () => (heard.length > 0 ? heard : undefined));
  t.match(JSON.parse(message ?? ""), { body: { kind: "identity.elsewhere", found: FOUND } });
});

test("[ID-97] two copies of a disk that tell in turns are an alert each", async (t) => {
  const { hub, tell } = await told(t);
  for (let n = 0; n < 3; n++) for (const serial of ["C-1", "C-2"]) t.equal((await tell({ ...FOUND, serial })).status, 200);
  t.match(
    (await alerts(hub, "device.other-board")).map(({ detail }) => detail["found"]),
    [/C-1/u, /C-2/u],
  );
  t.equal((await alerts(hub, "device.other-board")).length, 2);
});

test("[ID-97] notices of one device have a pace", async (t) => {
  const { tell } = await told(t);
  const answers: number[] = [];
  for (let n = 0; n < 20; n++) answers.push((await tell(FOUND)).status);
  t.match(answers.at(0), 200);
  t.match(answers.at(-1), 429);
});

test("[ID-98] a board with a part replaced reports it, and the hub raises an alert as the agent's word", async (t) => {
  const { hub, state, device, cert } = await told(t);
  const { client } = await connect(t, hub, device, cert);
  const body = { kind: "identity.changed", born: BORN, found: { ...FOUND, macs: BORN.macs } };
  await client.publishAsync("sallyport/1/gw-1/up/event", labMessage(body), { qos: 1 });
  t.match(await alerts(hub, "device.board-changed"), [{ deviceId: "gw-1", detail: { found: /CLONE0002/u } }]);
  t.match((await hubCommand(state, "alerts")).out.join("\n"), /device\.board-changed gw-1 .*\(says the agent\)/u);
});

test("[ID-99] two peers with one certificate that end each other's connections are an alert; one that reconnects is none", async (t) => {
  const { hub, device, cert } = await told(t);
  const quiet = await labDevice("gw-2");
  const quietCert = await enrolled(hub, quiet);
  const turn = async (who: LabDevice, shown: string) => (await connect(t, hub, who, shown)).socket;
  await turn(quiet, quietCert);
  await turn(quiet, quietCert);
  let last = await turn(device, cert);
  for (let n = 0; n < 3; n++) {
    const gone = once(last, "close");
    last = await turn(device, cert);
    await gone;
  }
  const found = await eventually("the alert", async () => {
    const all = await alerts(hub, "device.contested");
    return all.length > 0 ? all : undefined;
  });
  t.match(found, [{ deviceId: "gw-1", detail: { from: "127.0.0.1", what: /two peers use the certificate/u } }]);
});
