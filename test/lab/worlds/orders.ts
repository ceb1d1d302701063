// The warden's real judgement of orders as the console meets it, over a clock and a roster of the
// test's, and operators with keys.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { OrderPorts } from "../../../agent/console/index.ts";
import { Fault } from "../../../hal/fault.ts";
import type { DeviceId } from "../../../hal/format/identity.ts";
import type { Clock } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { answerText, orderKey, orderKeyId, type OrderVerb, parseChallenge } from "../../../warden/orders/format/index.ts";
import { createOrders } from "../../../warden/orders/index.ts";
import { parseRoster, type OperatorRole } from "../../../warden/roster/format.ts";

/** An operator with a private key, as on a laptop. */
export interface Operator {
  readonly id: string;
  readonly roles: readonly OperatorRole[];
  readonly keyid: string;
  readonly publicKey: KeyObject;
  /** As a roster lists it. */
  readonly key: string;
  /** What `sallyport-hub answer CHALLENGE --key FILE` prints. */
  answer(challenge: string, options?: { readonly notAfterS?: number }): string;
}

export function operator(id: string, ...roles: readonly OperatorRole[]): Operator {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const key = publicKey.export({ format: "der", type: "spki" }).toString("base64");
  const known = orderKey(key);
  if (known === undefined) throw new Fault("assert.broken", "an Ed25519 key is a key for orders");
  const keyid = orderKeyId(known);
  return {
    id,
    roles,
    keyid,
    publicKey: known,
    key,
    answer: (challenge, { notAfterS = 4_000_000_000 } = {}) =>
      answerText(parseChallenge(challenge), privateKey, keyid, notAfterS),
  };
}

/** For tests in which nobody logs in. */
export const NO_ORDERS: OrderPorts = {
  nonce: async () => {
    throw new Fault("assert.broken", "no test asks for a nonce");
  },
  submit: async () => {
    throw new Fault("assert.broken", "no test submits an order");
  },
  signer: async () => {
    throw new Fault("assert.broken", "no test asks whose key it is");
  },
};

export interface JudgedOrders extends OrderPorts {
  /** What the warden recorded. */
  readonly entries: readonly AuditEntry[];
  /** The verbs of the accepted orders, in order. */
  taken(): readonly unknown[];
  /** The fault codes of the refused ones. */
  refused(): readonly unknown[];
  /** The socket is dead until this is called with false. */
  away(isAway: boolean): void;
  /** The roster in force from now on. */
  publish(operators: readonly Operator[]): void;
  /** Sets the plan hash that orders must name from now on. */
  plan(hash: string | undefined): void;
}

export function createJudgedOrders(deviceId: DeviceId, clock: Clock, operators: readonly Operator[]): JudgedOrders {
  const entries: AuditEntry[] = [];
  const state: { away: boolean; plan: string | undefined } = { away: false, plan: undefined };
  const rosterOf = (people: readonly Operator[]) =>
    parseRoster(
      Buffer.from(JSON.stringify({ v: 1, operators: people.map(({ id, roles, key }) => ({ id, roles, keys: [key] })) })),
    );
  let roster = rosterOf(operators);
  const none = async (): Promise<never> => {
    throw new Fault("lockdown.not-pending", "no policy is being tried");
  };
  const { verbs } = createOrders({
    deviceId,
    clock,
    clockTrusted: () => true,
    roster: () => roster,
    planHash: () => state.plan,
    executors: { "system.reboot": async () => undefined },
    lockdown: { trial: () => undefined, confirm: none, revert: none },
    record: async (entry) => void entries.push(entry),
  });
  const present = (): void => {
    if (state.away) throw new Fault("protocol.closed", "connect to the warden: no such file: /run/sallyport-warden/warden.sock");
  };
  const verbsOf = (result: AuditEntry["result"], member: "verb" | "code"): readonly unknown[] =>
    entries.flatMap((entry) => (entry.result === result ? [entry.detail?.[member]] : []));
  return {
    entries,
    taken: () => verbsOf("ok", "verb"),
    refused: () => verbsOf("refused", "code"),
    away: (isAway) => {
      state.away = isAway;
    },
    publish: (people) => {
      roster = rosterOf(people);
    },
    plan: (hash) => {
      state.plan = hash;
    },
    nonce: async (verb: OrderVerb) => {
      present();
      return verbs["order.nonce"]({ verb });
    },
    submit: async (verb: OrderVerb, order: string) => {
      present();
      return verbs["order.submit"]({ verb, order });
    },
    signer: async (keyid: string) => {
      present();
      return verbs["order.signer"]({ keyid });
    },
  };
}
