// A captured device, or a hub that lies, offers the hash of something else. The tools that sign
// find out what a hash stands for, from the signer's own root and by hashing a plan again, and sign
// nothing that they cannot resolve.
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import type { OperationRequest } from "../../agent/operations/format.ts";
import { planHash } from "../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../warden/lockdown/plan/index.ts";
import { openOrder, orderKey } from "../../warden/orders/format/index.ts";
import { labHub } from "../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../lab/worlds/hub-cli.ts";
import { labPolicy, labSnapshot } from "../lab/worlds/lockdown.ts";
import { answer, hashOf, ID, NONCE, operatorsMachine } from "../lab/worlds/operators-machine.ts";

const TRIED = planLockdown(labPolicy(), labSnapshot());
const OPENED = planLockdown(
  labPolicy({ network: { inbound: [{ link: "eth0", protocol: "tcp", ports: [22], from: "any" }] } }),
  labSnapshot(),
);

test("[OPS-26] a release is signed for when the signer's own root vouches for it and it is for this device, and it is shown", async (t) => {
  const machine = await operatorsMachine(t);
  for (const [content, path, audience] of [
    ["for all", "os/all.json", "every device"],
    ["for acme", "os/acme.json", 'every device of tenant "acme"'],
    ["for north", "os/north.json", 'group north of tenant "acme"'],
  ] as const) {
    const members = { verb: "update.approve", planHash: hashOf(content) };
    t.match((await answer(machine, members)).err, /nobody can be asked here/u, "a person must have read it");
    const signed = await answer(machine, members, "--yes", "--reason", "tested");
    t.equal(signed.code, 0, signed.err);
    for (const shown of [
      `release ${path}`,
      "version os metadata 2",
      "line os, counter",
      `audience ${audience}, which includes "${ID}"`,
    ])
      t.ok(signed.err.includes(shown), shown);
    const key = orderKey(machine.anna.publicKey);
    const { order } = openOrder(signed.out, new Map(key === undefined ? [] : [[machine.anna.keyid, key]]));
    t.match(order, { ...members, deviceId: ID, nonce: NONCE, reason: "tested" });
  }
  const discards = await answer(machine, { verb: "update.revert" }, "--yes");
  t.match(discards, { code: 0, err: /names no release under way effect it discards an update record/u });
  t.match(await answer(machine, { verb: "update.revert" }), { code: 2, out: "" }, "somebody must have read that");
  const before = await answer(machine, { verb: "update.revert", planHash: hashOf("for all") }, "--yes");
  t.equal(before.code, 0, before.err);
});

test("[OPS-26] no order is signed over a hash that stands for nothing, for something else, or for another device", async (t) => {
  const machine = await operatorsMachine(t);
  for (const [members, message] of [
    [{ verb: "update.approve", planHash: hashOf("malware") }, /no release that your root vouches for has the hash/u],
    [{ verb: "update.approve", planHash: hashOf("a policy") }, /no release that your root vouches for/u],
    [{ verb: "update.approve", planHash: hashOf("for another device") }, /is os\/other\.json, which is not for this device/u],
    [
      { verb: "update.approve", planHash: hashOf("for another tenant") },
      /which is not for this device: it is for tenant "other"/u,
    ],
    [{ verb: "update.revert", planHash: hashOf("malware") }, /no release that your root vouches for/u],
    [{ verb: "update.approve" }, /the device names no release/u],
    [{ verb: "system.reboot", planHash: hashOf("for all") }, /this verb is about no hash/u],
    [{ verb: "console.login", planHash: hashOf("for all") }, /this verb is about no hash/u],
    [{ verb: "role.grant" }, /no device carries out this verb yet/u],
    [{ verb: "system.wipe" }, /the device names no plan/u],
    [{ verb: "system.wipe", planHash: hashOf("for all") }, /is not at hand/u],
    [{ verb: "lockdown.confirm" }, /the device names no plan/u],
    [{ verb: "lockdown.confirm", planHash: planHash(TRIED) }, /is not at hand/u],
  ] as const) {
    const refused = await answer(machine, members, "--yes");
    t.match(refused, { code: 1, out: "" }, JSON.stringify(members));
    t.match(refused.err, /order\.unresolved/u);
    t.match(refused.err, message);
  }
  t.match(await answer(machine, { verb: "rm -rf", planHash: hashOf("for all") }, "--yes"), { code: 1, err: /order\.invalid/u });
  chmodSync(machine.anna.keyFile, 0o644);
  t.match(await answer(machine, { verb: "system.reboot" }), {
    code: 1,
    out: "",
    err: /release\.key-unusable: .*others may read/u,
  });
});

test("[OPS-26] a hub that serves a repository of its own, or files that nobody signed, gets no signature", async (t) => {
  const [machine, hub] = [await operatorsMachine(t), await operatorsMachine(t)];
  const members = { verb: "update.approve", planHash: hashOf("for all") };
  const foreign = await answer({ ...machine, repository: hub.repository }, members, "--yes");
  t.match(foreign, { code: 1, out: "", err: /trust\.bad-signature/u });
  const os = join(machine.repository, "metadata/2.os.json");
  writeFileSync(os, readFileSync(os, "utf8").replace(hashOf("for all").slice(7), hashOf("malware").slice(7)));
  const edited = await answer(machine, { ...members, planHash: hashOf("malware") }, "--yes");
  t.match(edited, { code: 1, out: "", err: /order\.unresolved: .*"os" is signed by 0 of the keys that may sign it/u });
});

test("[LCK-20] a plan that does not hash to what the device asked for is refused, and so is one that is none", async (t) => {
  const machine = await operatorsMachine(t);
  for (const verb of ["lockdown.confirm", "lockdown.revert"]) {
    const members = { verb, planHash: planHash(OPENED), plan: TRIED, before: TRIED };
    const refused = await answer(machine, members, "--yes");
    t.match(refused, { code: 1, out: "" });
    t.match(refused.err, /order\.unresolved: .*the device asks for sha256:[0-9a-f]{64}, but the plan that it sent has the hash/u);
    for (const plan of [{}, null, "shut", { ...TRIED, harmless: true }, { ...TRIED, firewall: "x".repeat(62_000) }])
      t.match(await answer(machine, { ...members, plan }, "--yes"), { code: 1, out: "", err: /order\.unresolved/u });
    const shown = await answer(machine, { ...members, plan: OPENED }, "--yes");
    t.equal(shown.code, 0, shown.err);
    t.match(shown.err, /opens, compared with what the device says was in force before: .*in: tcp 22 from anybody on eth0/u);
  }
});

test("[OPS-26] [LCK-20] through the hub: what a captured device asks for is not signed, and nothing is sent to it", async (t) => {
  const machine = await operatorsMachine(t);
  const { hub, state } = await labHub(t);
  t.equal((await hubCommand(state, "release", "publish", machine.dir)).code, 0);
  const offers: { planHash: string | undefined; plan: unknown } = { planHash: undefined, plan: TRIED };
  const orders: OperationRequest[] = [];
  const { report } = await listening(t, hub, await admitted(hub, ID), (request) => {
    if (request.operation === "order.nonce") return { result: { deviceId: ID, nonce: NONCE, planHash: offers.planHash } };
    if (request.operation === "lockdown.enforced") return { result: { planHash: offers.planHash, plan: offers.plan } };
    orders.push(request);
    return { result: {} };
  });
  const give = (...words: readonly string[]) => hubCommand(state, ...words, "--key", machine.anna.keyFile, "--yes");

  offers.planHash = hashOf("for another device");
  t.match(await give("order", ID, "update.approve", "--root", machine.root), { code: 1, err: [/order\.unresolved/u] });
  offers.planHash = hashOf("for all");
  t.match(await give("order", ID, "update.approve"), { code: 1, err: [/needs your own copy of the repository's root/u] });
  t.match(await give("order", ID, "system.reboot"), { code: 1, err: [/this verb is about no hash/u] });
  offers.planHash = planHash(OPENED);
  t.match(await give("order", ID, "lockdown.confirm"), { code: 1, err: [/the plan that it sent has the hash/u] });
  await report("event", {
    kind: "lockdown.pending",
    counter: 2,
    planHash: planHash(OPENED),
    nonce: NONCE,
    confirmWithinMs: 60_000,
  });
  t.match(await give("lockdown", "confirm", ID), { code: 1, err: [/the plan that it sent has the hash/u] });
  t.match(await give("answer", `sp1/update.approve/${ID}/${NONCE}/${hashOf("malware")}`), { code: 2 });
  t.match(
    await hubCommand(
      undefined,
      "answer",
      `sp1/lockdown.confirm/${ID}/${NONCE}/${planHash(OPENED)}`,
      "--key",
      machine.anna.keyFile,
    ),
    { code: 1, out: [], err: [/order\.unresolved: .*is not at hand/u] },
  );
  t.same(orders, [], "no order left the hub");

  offers.planHash = hashOf("for all");
  const sent = await give("order", ID, "update.approve", "--root", machine.root);
  t.equal(orders.length, 1, sent.err.join());
});

test("[OPS-27] an order that was signed elsewhere is sent only to the device and for the verb that its signer named", async (t) => {
  const machine = await operatorsMachine(t);
  const { hub, state } = await labHub(t);
  const orders: OperationRequest[] = [];
  for (const id of [ID, "gw-2"])
    await listening(t, hub, await admitted(hub, id), (request) => {
      if (request.operation === "order.nonce") return { result: { deviceId: id, nonce: NONCE } };
      orders.push(request);
      return { result: { rebooting: true } };
    });
  const printed = await hubCommand(state, "order", ID, "system.reboot", "--print");
  t.match(printed, { code: 0, data: { deviceId: ID, verb: "system.reboot", nonce: NONCE } });
  const signed = await answer(machine, printed.data);
  t.equal(signed.code, 0, signed.err);
  const file = join(machine.directory, "answer");
  writeFileSync(file, signed.out);
  t.match(await hubCommand(state, "order", "gw-2", "--answer", file), { code: 1, err: [/order\.invalid: .*signed for "gw-1"/u] });
  t.match(await hubCommand(state, "order", ID, "update.revert", "--answer", file), {
    code: 1,
    err: [/signed for system\.reboot/u],
  });
  t.same(orders, []);
  t.equal((await hubCommand(state, "order", ID, "--answer", file)).code, 0);
  t.match(orders, [{ operation: "system.reboot", args: { order: signed.out } }]);
  writeFileSync(file, "x".repeat(10_000));
  t.match(await hubCommand(state, "order", ID, "--answer", file), { code: 2, err: [/at most 8192 bytes/u, /usage/u] });
});
