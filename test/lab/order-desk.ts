// The warden's judge of orders without the warden: really verifies, by the rules of [OPS-9], over a clock and a list of operators that a test holds.
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import type { Orders } from "../../agent/console/index.ts";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import type { Clock } from "../../hal/ports.ts";
import { answerText, openOrder, orderKeyId, type OrderVerb, parseChallenge } from "../../warden/orders/format/index.ts";
import type { Role } from "../../warden/roster/format.ts";

const NONCE_MS_MAX = 900_000;

/** A person with a key, as on a laptop. */
export interface Operator {
  readonly id: string;
  readonly roles: readonly Role[];
  readonly keyid: string;
  readonly publicKey: KeyObject;
  /** What `sallyport-hub answer CHALLENGE --key FILE` prints. */
  answer(challenge: string, options?: { readonly notAfterS?: number }): string;
}

export function operator(id: string, ...roles: readonly Role[]): Operator {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const keyid = orderKeyId(createPublicKey(publicKey.export({ format: "pem", type: "spki" })));
  return {
    id,
    roles,
    keyid,
    publicKey,
    answer: (challenge, { notAfterS = 4_000_000_000 } = {}) =>
      answerText(parseChallenge(challenge), privateKey, keyid, notAfterS),
  };
}

/** For tests that log nobody in. */
export const NO_ORDERS: Orders = {
  nonce: async () => {
    throw new Fault("assert.broken", "no test asks for a nonce");
  },
  submit: async () => {
    throw new Fault("assert.broken", "no test submits an order");
  },
};

export interface OrderDesk extends Orders {
  /** Verbs of the orders that were taken, in order. */
  readonly taken: readonly OrderVerb[];
  /** Fault codes of those that were refused. */
  readonly refused: readonly string[];
  /** The socket is dead until it is called with false. */
  away(isAway: boolean): void;
}

const RIGHTS: Readonly<Partial<Record<OrderVerb, readonly Role[]>>> = {
  "console.login": ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
  "system.reboot": ["technician", "maintainer", "owner"],
};

export function orderDesk(deviceId: string, clock: Clock, operators: readonly Operator[]): OrderDesk {
  const nonces = new Map<string, { readonly verb: OrderVerb; readonly madeAtMs: number }>();
  const taken: OrderVerb[] = [];
  const refused: string[] = [];
  let isAway = false;

  const present = (): void => {
    if (isAway) throw new Fault("protocol.closed", "connect to the warden: no such file: /run/sallyport-warden/warden.sock");
  };

  function judge(verb: OrderVerb, encoded: string): Operator {
    parseJson(encoded, 8192, "order");
    const { order, keyid } = openOrder(encoded, new Map(operators.map((one) => [one.keyid, one.publicKey])));
    const who = operators.find((one) => one.keyid === keyid);
    const nonce = nonces.get(order.nonce);
    if (order.deviceId !== deviceId || order.verb !== verb)
      throw new Fault("order.invalid", `an order "${order.verb}" for "${order.deviceId}", asked was "${verb}"`);
    if (nonce === undefined || nonce.verb !== verb || clock.monotonicMs() - nonce.madeAtMs >= NONCE_MS_MAX)
      throw new Fault("order.replayed", "this nonce was used, has run out or was not made here");
    if (clock.nowMs() > Date.parse(order.notAfter)) throw new Fault("order.expired", `the order held until ${order.notAfter}`);
    if (who === undefined || !who.roles.some((role) => RIGHTS[verb]?.includes(role) === true))
      throw new Fault("order.denied", `"${who?.id}" with role ${who?.roles.join(", ")} may not order "${verb}"`);
    nonces.delete(order.nonce);
    return who;
  }

  return {
    taken,
    refused,
    away: (gone) => {
      isAway = gone;
    },
    async nonce(verb) {
      present();
      const nonce = randomBytes(32).toString("hex");
      nonces.set(nonce, { verb, madeAtMs: clock.monotonicMs() });
      return { nonce };
    },
    async submit(verb, order) {
      present();
      try {
        const { id, roles, keyid } = judge(verb, order);
        taken.push(verb);
        return { by: id, roles: [...roles], keyid };
      } catch (error) {
        if (error instanceof Fault) refused.push(error.code);
        throw error;
      }
    },
  };
}
