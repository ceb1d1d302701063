// The lockdown as the warden runs it: what the agent may request, what is recorded, and its health.
// On a machine in memory.
import * as v from "valibot";
import { test } from "tap";
import type { NetworkLink } from "../../../hal/ports.ts";
import { planHash } from "../../../warden/lockdown/format/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, WARDEN_VERBS } from "../../../warden/protocol/format.ts";
import { ANSWER_ENVELOPE_BYTES } from "../../../warden/protocol/limits.ts";
import { readProtected } from "../../../warden/lockdown/protected.ts";
import { EXTERNAL_RECORDS_BURST_MAX, NOT_KNOWN_SETTLED_MS } from "../../../warden/lockdown/limits.ts";
import { lockdownOrder, policyBytes, seen } from "../../lab/worlds/lockdown.ts";
import { NETWORK, serviceRig, signed, until } from "../../lab/worlds/lockdown-service.ts";
import { KEYBOARD, STICK } from "../../lab/fakes/usb-tree.ts";

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

test("[LCK-13] the agent requests the trial of the newest signed policy; it can neither confirm one nor bring its own", async (t) => {
  const rig = serviceRig(t);
  const { verbs, ...lockdown } = await rig.start();
  await t.rejects(verbs["lockdown.propose"]({}), { code: "lockdown.unchanged", message: /no policy was signed/u });
  rig.policy = signed(7);
  const { counter, trial } = await verbs["lockdown.propose"]({});
  t.match(lockdown.state(), { at: "pending", counter: 7, trial: { planHash: trial.planHash, nonce: trial.nonce } });
  t.same([counter, lockdown.planHash(), lockdown.trial()?.nonce], [7, trial.planHash, trial.nonce]);
  await t.rejects(verbs["lockdown.propose"]({}), { code: "lockdown.busy" });
  const keyid = await lockdown.confirm(Buffer.from(lockdownOrder(trial)).toString());
  t.match(lockdown.state(), { at: "confirmed", counter: 7 });
  await t.rejects(verbs["lockdown.propose"]({}), { code: "lockdown.unchanged" });
  t.same(rig.log.slice(1), [
    { event: "lockdown.pending", result: "ok", detail: { counter: 7, planHash: trial.planHash, confirmWithinS: 60 } },
    {
      event: "lockdown.confirmed",
      result: "ok",
      principal: "confirm-key",
      detail: { counter: 7, planHash: trial.planHash, keyid },
    },
  ]);
});

test("[LCK-20] the signer of an order gets the plan on trial and the one before it, and both hash to what the device says", async (t) => {
  const rig = serviceRig(t);
  const { verbs } = await rig.start();
  const base = await verbs["lockdown.enforced"]({ of: "now" });
  t.equal(planHash(base.plan), base.planHash);
  await t.rejects(verbs["lockdown.enforced"]({ of: "before-trial" }), { code: "lockdown.not-pending" });
  rig.policy = signed(7);
  const { trial } = await verbs["lockdown.propose"]({});
  const tried = await verbs["lockdown.enforced"]({ of: "now" });
  v.parse(WARDEN_VERBS["lockdown.enforced"].result, tried);
  t.same([tried.planHash, planHash(tried.plan)], [trial.planHash, trial.planHash], "exactly what an order must name");
  t.same(await verbs["lockdown.enforced"]({ of: "before-trial" }), base);
  await rig.clock.advance(60_000);
  t.same(await verbs["lockdown.enforced"]({ of: "now" }), base, "the trial has ended");
});

test("[LCK-13] [LCK-14] a signed policy that is malformed or would cut the hub off is refused and recorded once", async (t) => {
  const rig = serviceRig(t);
  const { verbs, state } = await rig.start();
  const before = rig.firewall.history.length;
  rig.policy = signed(7, { links: [{ name: "eth1" }] });
  for (let n = 0; n < 3; n++) await t.rejects(verbs["lockdown.propose"]({}), { code: "lockdown.unsafe" });
  rig.policy = signed(8, { mode: "off" });
  await t.rejects(verbs["lockdown.propose"]({}), { code: "lockdown.invalid" });
  t.equal(rig.firewall.history.length, before);
  t.equal(state().at, "base");
  t.match(rig.log.slice(1), [
    { event: "policy.refused", result: "refused", detail: { counter: 7, code: "lockdown.unsafe", why: /eth0/u } },
    { event: "policy.refused", result: "refused", detail: { counter: 8, code: "lockdown.invalid" } },
  ]);
});

test("[LCK-14] every event of the lockdown is recorded: enforced, pending, reverted with its reason, shut, restored", async (t) => {
  const rig = serviceRig(t);
  const { verbs, troubles, healthy } = await rig.start();
  t.match(healthy(), { verdict: "passed" });
  rig.policy = signed(7);
  await verbs["lockdown.propose"]({});
  await rig.clock.advance(60_000);
  rig.firewall.table = undefined;
  await rig.clock.advance(5_000);
  t.same(rig.events(), ["lockdown.enforced", "lockdown.pending", "lockdown.reverted", "lockdown.enforced", "lockdown.restored"]);
  t.match(rig.log[0]?.detail, { policy: "base", mode: "enforce", planHash: /^sha256:/u });
  t.match(rig.log[2]?.detail, { counter: 7, reason: "deadline" });
  t.same(troubles(), []);
  rig.network = undefined;
  rig.firewall.table = "table of others";
  await rig.clock.advance(300_000);
  t.same(rig.events().slice(5), ["lockdown.shut"], "once, however often it is tried again");
  t.match(healthy(), { verdict: "waiting", detail: /as planned/u });
  t.match(troubles(), [{ code: "file.read-failed" }]);
  t.equal(rig.faults.length, 1, "and reported to the journal once");
  rig.network = NETWORK;
  await rig.clock.advance(60_000);
  t.same(rig.events().slice(6), ["lockdown.enforced"]);
  t.same(troubles(), []);
  t.match(healthy(), { verdict: "passed" });
});

test("[LCK-8] [LCK-14] a device is recorded once when it is plugged in, again when its verdict changes, and again when it is plugged in anew", async (t) => {
  const rig = serviceRig(t);
  const { verbs, confirm } = await rig.start();
  const plug = async (...devices: ReturnType<typeof seen>[]): Promise<void> => {
    rig.usb.state = { ...rig.usb.state, devices };
    await rig.clock.advance(1_000);
  };
  const usb = (): unknown[] =>
    rig.log.filter(({ event }) => event.startsWith("usb.")).map(({ event, detail }) => [event, detail?.["port"]]);
  await plug(seen("1-1", STICK, false, 2));
  await rig.clock.advance(30_000);
  t.same(usb(), [["usb.refused", "1-1"]]);
  t.match(rig.log.at(-1), { result: "refused", detail: { device: "0951:1666", serial: STICK.serial, why: /^no rule/u } });
  rig.policy = signed(7);
  const { trial } = await verbs["lockdown.propose"]({});
  await confirm(lockdownOrder(trial));
  await rig.clock.advance(1_000);
  t.same(usb().slice(1), [["usb.allowed", "1-1"]]);
  t.same((await verbs["lockdown.read"]({})).usb.length, 1);
  await plug();
  await plug(seen("1-1", STICK, false, 3), seen("1-3", KEYBOARD, false, 4));
  t.same(usb().slice(2), [
    ["usb.allowed", "1-1"],
    ["usb.refused", "1-3"],
  ]);
  t.equal(rig.usb.state.devices[0]?.authorized, true);
  t.notOk(rig.events().includes("lockdown.restored"), "plugging is not a change by others");
});

test("[LCK-14] endless plugging does not fill the log: omitted records are counted", async (t) => {
  const rig = serviceRig(t);
  await rig.start();
  for (let n = 2; n < 202; n++) {
    rig.usb.state = { ...rig.usb.state, devices: [seen("1-1", KEYBOARD, false, n)] };
    await rig.clock.advance(1_000);
  }
  const records = rig.log.filter(({ event }) => event === "usb.refused");
  t.ok(records.length < EXTERNAL_RECORDS_BURST_MAX + 10, `${records.length} records of 200`);
  const suppressed = records.reduce((sum, { detail }) => sum + Number(detail?.["suppressed"] ?? 0), 0);
  t.ok(suppressed + records.length > 150, `${suppressed} counted`);
});

test("[AUD-12] [LCK-14] after a flood of refused sticks an allowed adapter is recorded, and so is what is in force", async (t) => {
  const rig = serviceRig(t);
  const { verbs, confirm } = await rig.start();
  rig.policy = signed(7);
  const { trial } = await verbs["lockdown.propose"]({});
  await confirm(lockdownOrder(trial));
  for (let n = 2; n < 102; n++) {
    rig.usb.state = { ...rig.usb.state, devices: [seen("1-3", KEYBOARD, false, n)] };
    await rig.clock.advance(1_000);
  }
  rig.usb.state = { ...rig.usb.state, devices: [seen("1-1", STICK, false, 102)] };
  await rig.clock.advance(1_000);
  t.equal(rig.usb.state.devices[0]?.authorized, true, "it is let in");
  t.match(rig.log.at(-1), { event: "usb.allowed", detail: { port: "1-1" } });
  for (let n = 0; n < 3; n++) {
    rig.firewall.table = undefined;
    await rig.clock.advance(5_000);
  }
  t.equal(rig.events().filter((event) => event === "lockdown.restored").length, 3, "at a pace of its own");
});

test("[LCK-30] without packet filter and base policy the lockdown shuts what it can and reports the rest", async (t) => {
  const rig = serviceRig(t);
  rig.policy = signed(1);
  const lockdown = await rig.start({ firewall: undefined, base: undefined });
  t.match(lockdown.state(), { at: "base", unenforced: [/packet filter/u] });
  t.match(lockdown.troubles(), [{ code: "lockdown.not-enforced" }, { code: "lockdown.invalid", message: /there is none/u }]);
  t.match(rig.log[0]?.detail, { policy: "base", mode: "shut", unenforced: /packet filter/u });
  const { open } = await lockdown.verbs["lockdown.read"]({});
  t.ok(open.includes("out: tcp 8883 to anybody (hub)"));
  const { trial } = await lockdown.verbs["lockdown.propose"]({});
  await lockdown.confirm(lockdownOrder(trial));
  t.equal(lockdown.state().at, "confirmed");
  const garbage = await rig.start({ base: Buffer.from('{"v":1,"mode":"open"}') });
  t.match(garbage.troubles(), [{ code: "lockdown.invalid" }]);
});

test("[OPS-1] [OPS-2] an answer fits its line for any policy, and planning is limited in rate", async (t) => {
  const rig = serviceRig(t);
  const { verbs } = await rig.start();
  const prefixes = Array.from({ length: 32 }, (_, n) => `2001:db8:1111:2222:3333:4444:${(n + 16).toString(16)}:0/112`);
  const policy = policyBytes({
    network: {
      management: prefixes,
      inbound: Array.from({ length: 40 }, (_, n) => ({
        link: `eth${n}`,
        protocol: "tcp",
        ports: [1000 + n],
        from: "management",
      })),
    },
    links: Array.from({ length: 16 }, (_, n) => ({ name: `eth${n}` })),
    usb: {
      allow: Array.from({ length: 64 }, (_, n) => ({
        vendor: "0951",
        product: n.toString(16).padStart(4, "0"),
        serial: '"\\'.repeat(60),
        interfaces: ["08:06:50"],
      })),
    },
  });
  const preview = await verbs["lockdown.preview"]({ policy: base64(policy) });
  v.parse(WARDEN_VERBS["lockdown.preview"].result, preview);
  t.ok(Buffer.byteLength(JSON.stringify(preview)) < PROTOCOL_LINE_BYTES_MAX - ANSWER_ENVELOPE_BYTES);
  t.match(preview.open.at(-1), /^\.\.\. and \d+ more$/u);
  rig.usb.state = {
    ...rig.usb.state,
    devices: Array.from({ length: 127 }, (_, n) => seen(`1-1.${n + 1}`, { ...STICK, serial: "\\".repeat(126) }, false, n)),
  };
  await rig.clock.advance(6_000);
  const read = await verbs["lockdown.read"]({});
  v.parse(WARDEN_VERBS["lockdown.read"].result, read);
  t.ok(Buffer.byteLength(JSON.stringify(read)) < PROTOCOL_LINE_BYTES_MAX - ANSWER_ENVELOPE_BYTES);
  for (let n = 0; n < 20; n++) await verbs["lockdown.preview"]({ policy: base64(policy) }).catch(() => undefined);
  await t.rejects(verbs["lockdown.preview"]({ policy: base64(policy) }), { code: "protocol.rate-limited" });
  await rig.clock.advance(4_000);
  t.ok(await verbs["lockdown.preview"]({ policy: base64(policyBytes()) }));
  await t.rejects(verbs["lockdown.preview"]({ policy: base64(Buffer.from("{}")) }), { code: "lockdown.invalid" });
});

test("[LCK-31] an uplink is the link of the longest route to the hub; for a hub that has a name, of every default route", async (t) => {
  const routes = [
    { link: "eth0", family: 4, bytes: [0, 0, 0, 0], length: 0 },
    { link: "wwan0", family: 4, bytes: [0, 0, 0, 0], length: 0 },
    { link: "eth1", family: 4, bytes: [10, 0, 0, 0], length: 8 },
    { link: "eth0", family: 4, bytes: [10, 1, 0, 0], length: 16 },
  ] as const;
  const links = ["eth0", "eth1", "wwan0"].map((name): NetworkLink => ({
    name,
    usb: undefined,
    dhcp4: "unused",
    dhcp6: "unused",
    below: [],
  }));
  const network = { read: async () => ({ ...NETWORK, links, routes }) };
  const uplinks = async (address: string | undefined): Promise<readonly string[]> => {
    const found = await readProtected({ network, console: undefined, hubEndpoints: [{ address, port: 443 }] });
    return found.links.filter(({ uplink }) => uplink === "used").map(({ name }) => name);
  };
  t.same(await uplinks(undefined), ["eth0", "wwan0"]);
  t.same(await uplinks("10.2.0.1"), ["eth1"]);
  t.same(await uplinks("10.1.9.9"), ["eth0"]);
  t.same(await uplinks("2001:db8::1"), [], "by no route");
});

test("[LCK-40] what could not be told is in the status and a trouble at once, and in the trail when it lasts, with its end", async (t) => {
  const rig = serviceRig(t);
  const stub = { nameServers: [], nameService: "unknown", dnsOverTls: "unknown" } as const;
  rig.network = { ...NETWORK, ...stub };
  const lockdown = await rig.start({ base: undefined });
  const words = /the hub's name could not be told.*the way to it is open/u;
  t.match(lockdown.state().unknown?.join(), words);
  t.match(lockdown.troubles().find(({ code }) => code === "lockdown.unknown")?.message, words);
  t.match(rig.firewall.table, /udp dport 53 accept/u);
  t.notMatch(rig.firewall.table, /^\t\tiifname[^\n]*port (?:\{[^\n]*)?53\b/mu, "and nothing comes in");
  await rig.clock.advance(NOT_KNOWN_SETTLED_MS - 1000);
  t.notOk(rig.events().includes("lockdown.unknown"), "a network that comes up is no alarm");
  await rig.clock.advance(10_000);
  await until("it is recorded", () => rig.events().includes("lockdown.unknown"));
  t.match(
    rig.log.find(({ event }) => event === "lockdown.unknown"),
    { result: "ok", detail: { what: words } },
  );
  rig.network = { ...NETWORK, nameServers: ["198.18.7.1"], nameService: "used" };
  for (let n = 0; n < 10; n++) await rig.clock.advance(5000);
  await until("its end is recorded", () => rig.events().includes("lockdown.known"));
  t.equal(lockdown.state().unknown, undefined);
  t.notOk(lockdown.troubles().some(({ code }) => code === "lockdown.unknown"));
  t.equal(rig.events().filter((event) => event === "lockdown.unknown").length, 1);
});

test("[LCK-40] a policy that would cut what is not known is refused before it is tried, and the refusal says what to name", async (t) => {
  const rig = serviceRig(t);
  rig.network = { ...NETWORK, nameService: "unknown" };
  const lockdown = await rig.start();
  rig.policy = signed(7, { network: {} });
  await t.rejects(async () => await lockdown.verbs["lockdown.propose"]({}), {
    code: "lockdown.unsafe",
    message: /could not be told.*name UDP port 53 to the server in "outbound"/u,
  });
  rig.policy = signed(8);
  t.ok(await lockdown.verbs["lockdown.propose"]({}));
});

test("[ID-72] [OTA-43] a system whose doors are held does not pass its check, proposes no policy, and says so to the agent; afterwards it passes", async (t) => {
  const rig = serviceRig(t);
  const lockdown = await rig.start({ held: "key.tpm-missing" });
  t.match(lockdown.healthy(), { verdict: "waiting", detail: /key\.tpm-missing/u });
  t.match(lockdown.state(), { at: "base", held: "key.tpm-missing" });
  rig.policy = signed(7);
  await t.rejects(async () => await lockdown.verbs["lockdown.propose"]({}), { code: "lockdown.busy" });
  await lockdown.hold(undefined);
  t.match(lockdown.healthy(), { verdict: "passed" });
  t.equal(lockdown.state().held, undefined);
  await lockdown.verbs["lockdown.propose"]({});
  await lockdown.hold("key.not-this-board");
  t.same(
    rig.events().filter((event) => event.startsWith("lockdown.")),
    ["lockdown.enforced", "lockdown.enforced", "lockdown.pending", "lockdown.reverted", "lockdown.enforced"],
    "and the trail has each step",
  );
  t.match(rig.log.at(-1), { event: "lockdown.enforced", detail: { mode: "shut" } });
});
