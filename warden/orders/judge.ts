// The judgement of an order. Pure: it spends no nonce and carries nothing out. [OPS-7] [OPS-9]
// [OPS-22]
import type { KeyObject } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { orderKey, orderKeyId } from "../order-key/format.ts";
import type { Operator, Roster } from "../roster/format.ts";
import { openOrder, type Order, type OrderVerb } from "./format/index.ts";
import { mayOrder, rolesFor } from "./rights.ts";

export interface ExpectedOrder {
  readonly verb: OrderVerb;
  readonly deviceId: DeviceId;
  /**
   * The hash of what the order would do now; undefined for a verb without a plan, and then the
   * order must not name one.
   */
  readonly planHash: string | undefined;
  /**
   * Wall clock; undefined while it cannot be trusted. Then the nonce alone bounds the order's life.
   */
  readonly nowMs: number | undefined;
  readonly isNonceWaiting: (nonce: string) => boolean;
}

export interface Judged {
  readonly order: Order;
  readonly operator: Operator;
  readonly keyid: string;
}

/** The keys of a roster by their ids, each with its operator. [OPS-8] */
export type Signers = ReadonlyMap<string, { readonly key: KeyObject; readonly operator: Operator }>;

export function signersOf(roster: Roster | undefined): Signers {
  return new Map(
    roster?.operators.flatMap((operator) =>
      operator.keys.flatMap((text) => {
        const key = orderKey(text);
        return key === undefined ? [] : [[orderKeyId(key), { key, operator }] as const];
      }),
    ),
  );
}

/**
 * [OPS-9] Judges `encoded` as an order for `expected`.
 * @throws Fault `order.invalid` for another form, device, verb or plan; `order.bad-signature`;
 *   `order.denied` for a role that may not give it; `order.replayed` for a nonce that does not wait
 *   for this verb; `order.expired`.
 */
export function judgeOrder(encoded: string, signers: Signers, expected: ExpectedOrder): Judged {
  const { verb, deviceId, planHash, nowMs, isNonceWaiting } = expected;
  const { order, keyid, operator } = verifySignature(encoded, signers, verb);
  const mismatch = mismatchOf(order, { verb, deviceId, planHash });
  if (mismatch !== undefined) throw new Fault("order.invalid", `order refused: ${mismatch}`);
  if (!isNonceWaiting(order.nonce))
    throw new Fault(
      "order.replayed",
      `order refused: its nonce was not issued here for "${verb}", was used, or is older than 15 minutes; ask for a new one`,
    );
  if (nowMs !== undefined && nowMs > Date.parse(order.notAfter))
    throw new Fault("order.expired", `order refused: it was valid until ${order.notAfter}`);
  return { order, keyid, operator };
}

/** Of several signatures, one by an operator who may give the order is enough. */
function verifySignature(encoded: string, signers: Signers, verb: OrderVerb): Judged {
  const all = keysAmong(signers, () => true);
  const { keyid: first } = openOrder(encoded, all);
  const allowed = keysAmong(signers, ({ roles }) => mayOrder(roles, verb));
  const signer = signers.get(first)?.operator.id ?? "";
  try {
    const { order, keyid } = openOrder(encoded, allowed);
    const operator = signers.get(keyid)?.operator;
    if (operator !== undefined) return { order, keyid, operator };
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== "order.bad-signature") throw error;
  }
  throw new Fault(
    "order.denied",
    `order refused: "${signer}" may not give "${verb}"; that takes one of ${rolesFor(verb).join(", ")}`,
  );
}

function keysAmong(signers: Signers, allowed: (operator: Operator) => boolean): ReadonlyMap<string, KeyObject> {
  return new Map([...signers].flatMap(([keyid, { key, operator }]) => (allowed(operator) ? [[keyid, key] as const] : [])));
}

function mismatchOf(order: Order, wanted: Pick<ExpectedOrder, "verb" | "deviceId" | "planHash">): string | undefined {
  for (const member of ["verb", "deviceId", "planHash"] as const)
    if (order[member] !== wanted[member])
      return `its ${member} is "${order[member] ?? "none"}", expected "${wanted[member] ?? "none"}"`;
  return undefined;
}
