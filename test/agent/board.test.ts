// The agent's gate before the tunnel, between a warden that a test plays and a real hub.
import { test } from "tap";
import { createBoardGate } from "../../agent/board.ts";
import { Fault } from "../../hal/fault.ts";
import type { Board } from "../../hal/format/identity.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { hubCommand } from "../lab/worlds/hub-cli.ts";
import { enrolled, labDevice, labHub } from "../lab/worlds/hub.ts";

const BORN = { serial: "SN-1", macs: ["00:1b:21:3a:4f:58"] };
const FOUND = { serial: "SN-2", macs: ["00:1b:99:3a:4f:58"] };

type Verdict = "same" | "changed" | "other";

async function world(t: TestContext, port?: number) {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const credentials = { cert: await enrolled(hub, device), key: device.keyPem };
  const told: { verdict: Verdict; found: Board; born: Board | undefined; fault: Fault | undefined } = {
    verdict: "same",
    found: FOUND,
    born: BORN,
    fault: undefined,
  };
  const birth = { v: 3, id: device.id, source: "serial", protection: "file", keyFingerprint: device.fingerprint } as const;
  const answers = {
    "identity.read": () => ({
      identity: { id: device.id, source: "serial", macs: [] },
      birth: { ...birth, ...(told.born && { board: told.born }) },
      board: { verdict: told.verdict, found: told.found },
      auditKey: "",
    }),
  };
  const call: unknown = async () => {
    if (told.fault !== undefined) throw told.fault;
    return answers["identity.read"]();
  };
  const isCall = (value: unknown): value is WardenClient["call"] => typeof value === "function";
  if (!isCall(call)) throw new Fault("assert.broken", "a function");
  const events: string[] = [];
  let nowMs = 0;
  const gate = createBoardGate({
    clock: { monotonicMs: () => nowMs },
    warden: { call },
    hub: {
      host: "localhost",
      port: port ?? hub.estPort,
      authority: hub.anchors.authority,
      minTls: "TLSv1.3",
      connectTo: { host: "127.0.0.1", port: port ?? hub.estPort },
      proxy: undefined,
    },
    note: ({ event }) => void events.push(event),
    signal: new AbortController().signal,
  });
  const wait = (ms: number) => (nowMs += ms);
  return { hub, state, gate, told, events, wait, expect: () => gate.expect(credentials) };
}

test("[ID-96] the same board, a changed one, an old record and a warden that does not answer keep nobody from the tunnel", async (t) => {
  const { hub, gate, told, expect } = await world(t);
  await expect();
  t.equal(gate.report(), undefined);
  told.fault = new Fault("protocol.closed", "gone");
  await expect();
  told.fault = undefined;
  [told.verdict, told.born] = ["other", undefined];
  await expect();
  [told.verdict, told.born] = ["changed", BORN];
  await expect();
  t.notOk(gate.waits());
  t.same(gate.report(), { kind: "identity.changed", born: BORN, found: FOUND }, "[ID-98] it is reported");
  await expect();
  t.equal(gate.report(), undefined, "once");
  await hub.store.journal.flush();
  t.notOk((await hub.store.journal.tail(100, "alert")).some(({ event }) => event === "device.other-board"));
});

test("[ID-97] another board asks the hub before each attempt, and connects once it was let in", async (t) => {
  const { state, gate, told, events, expect } = await world(t);
  told.verdict = "other";
  await t.rejects(expect(), {
    code: "identity.other-board",
    message: /leaves the tunnel to it; put it back, or run on the hub: .*board gw-1/u,
  });
  t.ok(gate.waits());
  await t.rejects(expect(), { code: "identity.other-board" });
  await hubCommand(state, "devices", "board", "gw-1", "--admit");
  await expect();
  await expect();
  t.notOk(gate.waits());
  t.same(events, ["identity.board-admitted"], "recorded once");
  told.found = { ...FOUND, serial: "SN-3" };
  await t.rejects(expect(), { code: "identity.other-board" }, "a third board asks again");
});

test("[ID-98] a card whose driver comes late is no change that is reported", async (t) => {
  const { gate, told, expect } = await world(t);
  told.verdict = "changed";
  await expect();
  told.verdict = "same";
  await expect();
  t.equal(gate.report(), undefined);
});

test("[ID-97] the first board says that a disk with its identity waits elsewhere; the board that was let in does not", async (t) => {
  const { state, gate, told, wait, expect } = await world(t);
  told.found = BORN;
  await expect();
  t.same(gate.troubles(), []);
  gate.elsewhere(FOUND);
  t.match(gate.troubles(), [
    {
      code: "identity.elsewhere",
      message: /another board \(serial SN-2, MAC 00:1b:99:3a:4f:58\).*leaves the tunnel to this one/u,
    },
  ]);
  wait(2 * 86_400_000 + 1);
  t.same(gate.troubles(), [], "the hub says it daily, while that disk asks");
  [told.verdict, told.found] = ["other", FOUND];
  await t.rejects(expect(), { code: "identity.other-board" });
  t.notOk(gate.isLetIn());
  await hubCommand(state, "devices", "board", "gw-1", "--admit");
  await expect();
  t.ok(gate.isLetIn());
  gate.elsewhere(FOUND);
  t.same(gate.troubles(), [], "what waited for the first board comes to this one");
});

test("[ID-97] a hub that cannot be reached lets nobody in, and the fault says why", async (t) => {
  const { told, expect } = await world(t, 9);
  told.verdict = "other";
  await t.rejects(expect(), {
    code: "identity.other-board",
    message: /the hub could not be told: .*127\.0\.0\.1.*; put it back, or name this board in the file board/u,
  });
});
