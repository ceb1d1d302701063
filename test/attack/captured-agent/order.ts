// Attacks on signed orders: foreign keys, foreign devices, foreign nonces.
import { generateKeyPairSync } from "node:crypto";
import * as v from "valibot";
import { orderKeyId, orderSchema, type OrderVerb, orderVerbSchema, signOrder } from "../../../warden/orders/format/index.ts";
import { type AttacksOn, DEVICE, isNonce } from "./attack.ts";

export const ORDER_ATTACKS: AttacksOn<"order"> = {
  "order.nonce": async ({ t, peer, refused }) => {
    for (const args of [
      {},
      { verb: "shell.run" },
      { verb: "__proto__" },
      { verb: ["console.login"] },
      { verb: "console.login", count: 1_000_000 },
      { verb: "console.login", deviceId: "GW-0000" },
      { verb: "console.login", nonce: "5a".repeat(32) },
    ])
      await refused("order.nonce", args, /protocol\.invalid/u);
    for (const verb of ["role.grant", "lockdown.open", "lockdown.confirm", "lockdown.revert"])
      await refused("order.nonce", { verb });
    const answers: string[] = [];
    for (let n = 0; n < 40; n++)
      answers.push(JSON.stringify(await peer.ask("order.nonce", { verb: "console.login" })).replace(/"id":\d+/u, ""));
    const made = answers.filter((answer) => answer.includes('"nonce"'));
    t.equal(new Set(made).size, made.length, "no nonce is used twice");
  },

  "order.signer": async ({ t, peer, refused }) => {
    const keyid = "ab".repeat(32);
    for (const args of [{}, { keyid: "x" }, { keyid: keyid.toUpperCase() }, { keyid: [keyid] }, { keyid, roles: ["owner"] }])
      await refused("order.signer", args, /protocol\.invalid/u);
    t.notMatch(JSON.stringify(await peer.ask("order.signer", { keyid })), /operator/u, "nobody has that key");
  },

  "order.submit": async ({ peer, refused }) => {
    const nonceFor = async (verb: OrderVerb): Promise<string> => {
      const { result } = v.parse(v.looseObject({ result: v.optional(v.unknown()) }), await peer.ask("order.nonce", { verb }));
      return isNonce(result) ? result.nonce : "5a".repeat(32);
    };
    const mine = generateKeyPairSync("ed25519");
    const order = (verb: OrderVerb, nonce: string, change: Readonly<Record<string, unknown>> = {}): string => {
      const notAfter = "2099-01-01T00:00:00.000Z";
      const parsed = v.parse(orderSchema, { v: 1, deviceId: DEVICE, nonce, verb, notAfter, ...change });
      return JSON.stringify(signOrder(parsed, mine.privateKey, orderKeyId(mine.publicKey)));
    };
    for (const verb of orderVerbSchema.options) {
      const nonce = await nonceFor(verb);
      const foreign = order(verb, nonce);
      await refused("order.submit", { verb, order: foreign });
      await refused("order.submit", { verb, order: foreign });
      await refused("order.submit", { verb, order: order(verb, nonce, { deviceId: "GW-0000" }) });
      await refused("order.submit", { verb, order: order(verb, nonce, { planHash: `sha256:${"ab".repeat(32)}` }) });
      await refused("order.submit", { verb, order: order("console.login", nonce, { reason: "\u001b[2J" }) });
      await refused("order.submit", { verb, order: foreign.replace(/"signatures":\[.*\]/u, '"signatures":[]') });
      await refused("order.submit", { verb, order: "" });
    }
    const nonce = await nonceFor("console.login");
    const login = { verb: "console.login", order: order("console.login", nonce) };
    for (const args of [
      {},
      { order: login.order },
      { ...login, verb: "shell.run" },
      { ...login, by: "owner" },
      { ...login, roles: ["owner"] },
      { ...login, order: { payload: "" } },
      { ...login, order: "x".repeat(8193) },
    ])
      await refused("order.submit", args, /protocol\.invalid/u);
  },
};
