// Whether an order counts. Pure: nothing is spent, nothing is done. [OPS-7] [OPS-9]
import type { KeyObject } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/identity/format.ts";
import { orderKey, orderKeyId } from "../order-key/format.ts";
import type { Operator, Roster } from "../roster/format.ts";
import { openOrder, type Order, type OrderVerb } from "./format/index.ts";
import { mayOrder, rolesFor } from "./rights.ts";

export interface ExpectedOrder {
  readonly verb: OrderVerb;
  readonly deviceId: DeviceId;
  /** Of what the order would do now; undefined where there is no such thing, and then the order names none either. */
  readonly planHash: string | undefined;
  /** Wall clock; undefined while it can't be trusted: then the nonce alone bounds the order's life. */
  readonly nowMs: number | undefined;
  readonly isNonceWaiting: (nonce: string) => boolean;
}

export interface Judged {
  readonly order: Order;
  readonly operator: Operator;
  readonly keyid: string;
}

/** The keys of a roster by their ids, each with the operator it stands for. [OPS-8] */
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
 * [OPS-9] @throws Fault `order.invalid` for another form, device, verb or plan; `order.bad-signature`; `order.denied` for a role that may not give it;
 *   `order.replayed` for a nonce that does not wait for this verb; `order.expired`.
 */
export function judgeOrder(encoded: string, signers: Signers, expected: ExpectedOrder): Judged {
  const { verb, deviceId, planHash, nowMs, isNonceWaiting } = expected;
  const { order, keyid, operator } = signed(encoded, signers, verb);
  const other = otherThan(order, { verb, deviceId, planHash });
  if (other !== undefined) throw new Fault("order.invalid", `order refused: ${other}`);
  if (!isNonceWaiting(order.nonce))
    throw new Fault(
      "order.replayed",
      `order refused: its nonce was not made here for "${verb}", was used, or is older than 15 minutes; ask for a new one`,
    );
  if (nowMs !== undefined && nowMs > Date.parse(order.notAfter))
    throw new Fault("order.expired", `order refused: it was good until ${order.notAfter}`);
  return { order, keyid, operator };
}

/** Of several signatures one of an operator who may give the order is enough. */
function signed(encoded: string, signers: Signers, verb: OrderVerb): Judged {
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

function otherThan(order: Order, wanted: Pick<ExpectedOrder, "verb" | "deviceId" | "planHash">): string | undefined {
  for (const member of ["verb", "deviceId", "planHash"] as const)
    if (order[member] !== wanted[member])
      return `its ${member} is "${order[member] ?? "none"}", expected "${wanted[member] ?? "none"}"`;
  return undefined;
}
