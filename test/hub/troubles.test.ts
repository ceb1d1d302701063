// What is wrong with the hub itself, for as long as it lasts.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { makeAuthority } from "../../hub/authority/issuer.ts";
import { initHub } from "../../hub/index.ts";
import type { Engine } from "../../hub/store/engine.ts";
import { observeEngine, STORE_WELL_MS } from "../../hub/store/health.ts";
import { readTroubles } from "../../hub/troubles.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { ask, labDevice, labHub, simpleEnrol } from "../lab/worlds/hub.ts";

const YEAR_MS = 365 * 86_400_000;

for (const [when, madeAtMs, words] of [
  ["past the end of its authority", Date.now() - 26 * YEAR_MS, /hub's authority ended at/],
  ["before its authority begins", Date.now() + 10 * YEAR_MS, /hub's authority begins at/],
] as const)
  test(`[STA-40] a hub with a clock ${when} says so, issues nothing, and keeps what it has`, async (t) => {
    const state = await temporaryDirectory(t);
    await initHub({ state, name: "old", hosts: ["localhost"] });
    const { keyPem, certificatePem } = makeAuthority("old", madeAtMs);
    writeFileSync(join(state, "authority.key"), keyPem);
    writeFileSync(join(state, "authority.pem"), certificatePem);
    const { hub } = await labHub(t, { state });
    t.match(hub.troubles(), [{ kind: "clock", code: "hub.clock-wrong", message: words }]);
    t.match(readTroubles(state), hub.troubles(), "the command line reads it");
    const healthz = await ask(hub, "/healthz");
    t.equal(healthz.status, 503);
    t.match(healthz.body.toString(), /^trouble: clock: hub\.clock-wrong/);
    const device = await labDevice("gw-1");
    t.equal((await simpleEnrol(hub, device.csr)).status, 202);
    await hub.approve(device.id, device.fingerprint);
    t.equal((await simpleEnrol(hub, device.csr)).status, 500, "no certificate");
    t.match(await hub.store.journal.tail(10, "alert"), [{ event: "hub.trouble", detail: { message: words } }]);
  });

test("[STA-40] a store that fails is in trouble until nothing has failed for a while; a conflict is no failure", async (t) => {
  const said: string[] = [];
  let fault: Fault | undefined;
  let nowMs = 0;
  const work = async () => {
    if (fault !== undefined) throw fault;
    return [];
  };
  const engine: Engine = { read: work, commit: work, version: async () => 0, close: async () => undefined };
  const observed = observeEngine(engine, {
    onFailing: ({ message }) => void said.push(message),
    onWorking: () => void said.push("works"),
    nowMs: () => nowMs,
  });
  t.teardown(() => observed.close());
  fault = new Fault("hub.store-conflict", "conflict");
  await t.rejects(observed.commit([]));
  t.same(said, []);
  fault = new Fault("hub.store-failed", "full");
  await t.rejects(observed.commit([]));
  fault = undefined;
  await observed.commit([]);
  t.same(said, ["full"], "one that works beside those that fail ends no trouble");
  nowMs += STORE_WELL_MS;
  await observed.read("", []);
  t.same(said, ["full"], "a full disk can be read");
  await observed.commit([]);
  t.same(said, ["full", "works"]);
});
