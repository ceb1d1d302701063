// Orders over the agent's two verbs: the one that counts, once, and everything that does not count.
import { test, type Test } from "tap";
import * as v from "valibot";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { type Order, type OrderEnvelope, orderSchema, type OrderVerb, signOrder } from "../../../warden/orders/format/index.ts";
import { createOrders, type Executor, type Orders, type OrdersOptions } from "../../../warden/orders/index.ts";
import { NONCE_LIFE_MS, NONCES_MAX, NONCES_OF_VERB_MAX } from "../../../warden/orders/limits.ts";
import { parseRoster, type Roster, type OperatorRole } from "../../../warden/roster/format.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { NOW_MS } from "../../lab/counterparts/repository.ts";
import { DEVICE, operatorKey, type OperatorKey, rosterText } from "../../lab/worlds/targets.ts";

const PLAN = `sha256:${"ab".repeat(32)}`;
const OTHER_PLAN = `sha256:${"cd".repeat(32)}`;
const TRIAL = { nonce: "7e".repeat(32), planHash: PLAN };

const PEOPLE: Readonly<Record<string, { readonly key: OperatorKey; readonly roles: readonly OperatorRole[] }>> = {
  ada: { key: operatorKey(), roles: ["owner"] },
  tom: { key: operatorKey(), roles: ["technician"] },
  vera: { key: operatorKey(), roles: ["viewer"] },
  gus: { key: operatorKey(), roles: ["guest"] },
};

interface Rig {
  readonly orders: Orders;
  readonly clock: FakeClock;
  readonly entries: AuditEntry[];
  readonly done: { readonly verb: OrderVerb; readonly by: string; readonly planHash?: string }[];
  roster: Roster | undefined;
  clockTrusted: boolean;
  planHash: string | undefined;
  trial: typeof TRIAL | undefined;
  failing: Fault | undefined;
}

function rigOf(): Rig {
  const operators = Object.entries(PEOPLE).map(([id, { key, roles }]) => ({ id, roles, keys: [key.text] }));
  const done: Rig["done"] = [];
  const executor =
    (verb: OrderVerb) =>
    async ({ nonce: _nonce, ...order }: Parameters<Executor>[0]): Promise<void> => {
      if (rig.failing !== undefined) throw rig.failing;
      done.push({ verb, ...order });
    };
  const options: OrdersOptions = {
    deviceId: DEVICE,
    clock: fakeClock(NOW_MS),
    clockTrusted: () => rig.clockTrusted,
    roster: () => rig.roster,
    planHash: (verb) => (verb === "update.approve" ? rig.planHash : undefined),
    executors: { "system.reboot": executor("system.reboot"), "update.approve": executor("update.approve") },
    lockdown: {
      trial: () => rig.trial,
      confirm: async (order) => judgedByTrial(order),
      revert: async (order) => judgedByTrial(order),
    },
    record: async (entry) => void rig.entries.push(entry),
  };
  const rig: Rig = {
    orders: createOrders(options),
    clock: fakeClock(NOW_MS),
    entries: [],
    done,
    roster: parseRoster(Buffer.from(rosterText({ operators }))),
    clockTrusted: true,
    planHash: PLAN,
    trial: undefined,
    failing: undefined,
  };
  const { clock } = rig;
  return Object.assign(rig, { orders: createOrders({ ...options, clock }) });
}

/** Stands for the lockdown, whose own tests cover the judgement of orders. */
async function judgedByTrial(order: Uint8Array): Promise<string> {
  if (Buffer.from(order).toString() === "good") return "77".repeat(32);
  throw new Fault("order.bad-signature", "no key that may give this order signed it");
}

const nonceFor = async ({ orders }: Rig, verb: OrderVerb): Promise<string> => (await orders.verbs["order.nonce"]({ verb })).nonce;

function envelope(who: OperatorKey, verb: OrderVerb, nonce: string, change: Partial<Order> = {}): OrderEnvelope {
  const notAfter = new Date(NOW_MS + 600_000).toISOString();
  const order = v.parse(orderSchema, { v: 1, deviceId: DEVICE, nonce, verb, notAfter, ...change });
  return signOrder(order, who.privateKey, who.keyid);
}

const write = (...written: Parameters<typeof envelope>): string => JSON.stringify(envelope(...written));

function keyOf(id: string): OperatorKey {
  return PEOPLE[id]?.key ?? operatorKey();
}

/**
 * [OPS-9] Expects a refusal with `code`: nothing done, recorded, and `nonce` still good for the
 * right order.
 */
async function refused(t: Test, rig: Rig, verb: OrderVerb, order: string, code: FaultCode, what: string): Promise<void> {
  const records = rig.entries.length;
  const fault = await faultOf(() => rig.orders.verbs["order.submit"]({ verb, order }));
  t.equal(fault.code, code, `${what}: ${fault.message}`);
  t.same(rig.done, [], `${what}: nothing is done`);
  const event = verb === "console.login" ? "login.refused" : "order.refused";
  t.match(rig.entries.slice(records), [{ event, result: "refused", detail: { verb, code } }], `${what}: recorded`);
}

test("[OPS-9] an order counts once: the same order later, or twice at the same moment, is a replay", async (t) => {
  const rig = rigOf();
  const { planHash, nonce } = await rig.orders.verbs["order.nonce"]({ verb: "update.approve" });
  t.equal(planHash, PLAN, "with the nonce comes the hash of what the order is about");
  const order = write(keyOf("ada"), "update.approve", nonce, { planHash: PLAN, reason: "window of the night" });
  const both = await Promise.allSettled([1, 2].map(() => rig.orders.verbs["order.submit"]({ verb: "update.approve", order })));
  t.same(
    both.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  t.equal((await faultOf(() => rig.orders.verbs["order.submit"]({ verb: "update.approve", order }))).code, "order.replayed");
  t.same(rig.done, [{ verb: "update.approve", by: "ada", planHash: PLAN }]);
  t.match(
    rig.entries.find(({ event }) => event === "order.accepted"),
    {
      result: "ok",
      principal: "ada",
      detail: {
        verb: "update.approve",
        roles: "owner",
        reason: "window of the night",
        planHash: PLAN,
        keyid: keyOf("ada").keyid,
      },
    },
  );
});

test("[OPS-9] [OPS-22] an order for another device, verb, plan, nonce or time, or from another key or role, is refused and recorded, and does not spend the nonce", async (t) => {
  const rig = rigOf();
  const nonce = await nonceFor(rig, "update.approve");
  const login = await nonceFor(rig, "console.login");
  const ada = keyOf("ada");
  const attempt = (change: Partial<Order>, who = ada): string =>
    write(who, "update.approve", nonce, { planHash: PLAN, ...change });
  const elsewhere = v.parse(orderSchema.entries.deviceId, "GW-0000");
  const cases: readonly [string, FaultCode, string][] = [
    ["another device", "order.invalid", attempt({ deviceId: elsewhere })],
    ["another verb", "order.invalid", attempt({ verb: "system.reboot" })],
    ["another plan", "order.invalid", attempt({ planHash: OTHER_PLAN })],
    ["no plan", "order.invalid", write(ada, "update.approve", nonce)],
    ["an invented nonce", "order.replayed", attempt({ nonce: "5a".repeat(32) })],
    ["a nonce for another verb", "order.replayed", attempt({ nonce: login })],
    ["a time that has passed", "order.expired", attempt({ notAfter: new Date(NOW_MS - 1).toISOString() })],
    ["an unknown key", "order.bad-signature", attempt({}, operatorKey())],
    ["a key under another's id", "order.bad-signature", attempt({}, { ...operatorKey(), keyid: ada.keyid })],
    ["a role without the right", "order.denied", attempt({}, keyOf("tom"))],
    ["a guest", "order.denied", attempt({}, keyOf("gus"))],
    ["no order", "order.invalid", "approved, believe me"],
    ["the prototype", "order.invalid", '{"__proto__":{"payload":"e30="}}'],
    [
      "the payload changed",
      "order.bad-signature",
      attempt({}).replace(/"payload":"(.)/u, (_, first) => `"payload":"${first === "e" ? "f" : "e"}`),
    ],
  ];
  for (const [what, code, order] of cases) await refused(t, rig, "update.approve", order, code, what);
  const byBoth = envelope(ada, "update.approve", nonce, { planHash: PLAN });
  const byTom = envelope(keyOf("tom"), "update.approve", nonce, { planHash: PLAN });
  const order = JSON.stringify({ ...byBoth, signatures: [...byTom.signatures, ...byBoth.signatures] });
  t.match(
    await rig.orders.verbs["order.submit"]({ verb: "update.approve", order }),
    { by: "ada", roles: ["owner"] },
    "after all of them the nonce is still good, and of two signers the one with the right counts",
  );
});

test("[OPS-9] an order is about what waits when it arrives, not when its nonce was issued", async (t) => {
  const rig = rigOf();
  rig.planHash = undefined;
  const blank = write(keyOf("ada"), "update.approve", await nonceFor(rig, "update.approve"));
  rig.planHash = OTHER_PLAN;
  await refused(t, rig, "update.approve", blank, "order.invalid", "signed before a release waited");
  const named = write(keyOf("ada"), "update.approve", await nonceFor(rig, "update.approve"), { planHash: OTHER_PLAN });
  rig.planHash = PLAN;
  await refused(t, rig, "update.approve", named, "order.invalid", "signed for the previous release");
});

test("[OPS-21] nonces: at most 8 of a verb and 32 in all, each for 15 minutes by the monotonic clock, gone with the program", async (t) => {
  const rig = rigOf();
  const first = await nonceFor(rig, "system.reboot");
  const seen = new Set([first]);
  for (let n = 1; n < NONCES_OF_VERB_MAX; n++) seen.add(await nonceFor(rig, "system.reboot"));
  t.equal(seen.size, NONCES_OF_VERB_MAX, "never one twice");
  const order = (nonce: string): string => write(keyOf("tom"), "system.reboot", nonce);
  await nonceFor(rig, "system.reboot");
  await refused(t, rig, "system.reboot", order(first), "order.replayed", "the oldest was replaced");
  const second = await nonceFor(rig, "system.reboot");
  await rig.clock.set(NOW_MS - 86_400_000); // a wall clock that steps gives nobody more time
  await rig.clock.advance(NONCE_LIFE_MS + 1);
  await refused(t, rig, "system.reboot", order(second), "order.replayed", "older than 15 minutes");
  const third = await nonceFor(rigOf(), "system.reboot");
  await refused(t, rig, "system.reboot", order(third), "order.replayed", "made before a restart");
});

test("[OPS-21] [CON-4] endless requests for nonces of one verb, as from a hub that was taken over, use up those of no other verb", async (t) => {
  const rig = rigOf();
  const login = await nonceFor(rig, "console.login");
  for (let n = 0; n < 2 * NONCES_MAX; n++) await nonceFor(rig, "system.reboot");
  const { by } = await rig.orders.verbs["order.submit"]({
    verb: "console.login",
    order: write(keyOf("tom"), "console.login", login),
  });
  t.equal(by, "tom");
});

test("[OPS-9] while the clock is not set, the nonce alone bounds an order's life", async (t) => {
  const rig = rigOf();
  rig.clockTrusted = false;
  const order = write(keyOf("tom"), "system.reboot", await nonceFor(rig, "system.reboot"), {
    notAfter: "2001-01-01T00:00:00.000Z",
  });
  t.match(await rig.orders.verbs["order.submit"]({ verb: "system.reboot", order }), { by: "tom" });
});

test("[OPS-20] [OPS-9] without a roster nobody gives orders or logs in; under a new roster the old keys do not count", async (t) => {
  const rig = rigOf();
  const login = async (who: OperatorKey): Promise<string> => write(who, "console.login", await nonceFor(rig, "console.login"));
  t.match(await rig.orders.verbs["order.submit"]({ verb: "console.login", order: await login(keyOf("vera")) }), {
    by: "vera",
    roles: ["viewer"],
    keyid: keyOf("vera").keyid,
  });
  t.match(rig.entries, [{ event: "login.accepted", principal: "vera", result: "ok" }]);
  await refused(t, rig, "console.login", await login(keyOf("gus")), "order.denied", "a guest does not log in");
  const before = rig.roster;
  for (const roster of [undefined, parseRoster(Buffer.from(rosterText()))]) {
    rig.roster = roster;
    await refused(t, rig, "console.login", await login(keyOf("ada")), "order.bad-signature", "no operators");
  }
  rig.roster = before;
  t.match(await rig.orders.verbs["order.submit"]({ verb: "console.login", order: await login(keyOf("ada")) }), { by: "ada" });
});

test("[OPS-9] a verb without an executor is refused before a nonce is issued, and recorded", async (t) => {
  const rig = rigOf();
  for (const verb of ["system.wipe", "role.grant", "lockdown.open", "update.revert"] as const) {
    t.equal((await faultOf(() => nonceFor(rig, verb))).code, "order.unsupported");
    await refused(t, rig, verb, "", "order.unsupported", verb);
  }
});

test("[OPS-9] an order whose executor fails is spent, and its failure is recorded", async (t) => {
  const rig = rigOf();
  rig.failing = new Fault("power.failed", "as planned");
  const order = write(keyOf("tom"), "system.reboot", await nonceFor(rig, "system.reboot"));
  t.equal((await faultOf(() => rig.orders.verbs["order.submit"]({ verb: "system.reboot", order }))).code, "power.failed");
  t.match(rig.entries, [
    { event: "order.accepted", result: "ok" },
    { event: "order.refused", result: "failed", principal: "tom", detail: { code: "power.failed" } },
  ]);
  rig.failing = undefined;
  t.equal((await faultOf(() => rig.orders.verbs["order.submit"]({ verb: "system.reboot", order }))).code, "order.replayed");
});

test("[LCK-12] [OPS-9] a policy on trial judges its orders by its own nonce; without a trial there is nothing to confirm", async (t) => {
  const rig = rigOf();
  for (const verb of ["lockdown.confirm", "lockdown.revert"] as const) {
    rig.trial = undefined;
    t.equal((await faultOf(() => nonceFor(rig, verb))).code, "lockdown.not-pending");
    rig.trial = TRIAL;
    t.same(await rig.orders.verbs["order.nonce"]({ verb }), TRIAL);
    t.same(await rig.orders.verbs["order.submit"]({ verb, order: "good" }), {
      by: "confirm-key",
      roles: [],
      keyid: "77".repeat(32),
    });
    t.match(rig.entries.at(-1), { event: "order.accepted", principal: "confirm-key", detail: { verb } });
    await refused(
      t,
      rig,
      verb,
      write(keyOf("ada"), verb, TRIAL.nonce, { planHash: PLAN }),
      "order.bad-signature",
      "an owner's key is not one of the policy's",
    );
  }
});

test("[OPS-22] [AUD-11] a flood of refused orders is recorded within bounds, with the number of those left out", async (t) => {
  const rig = rigOf();
  const submit = () => faultOf(() => rig.orders.verbs["order.submit"]({ verb: "system.reboot", order: "x" }));
  for (let n = 0; n < 100; n++) await submit();
  t.equal(rig.entries.length, 16);
  await rig.clock.advance(60_000);
  await submit();
  t.match(rig.entries.at(-1), { event: "order.refused", detail: { suppressed: 84 } });
});
