// Judgement of an order about a policy on trial: signed by a key that the policy itself names, over
// this device, this trial and this plan. [LCK-12]
import { Fault } from "../../hal/fault.ts";
import { orderKey, orderKeyId } from "../order-key/format.ts";
import { type Order, openOrder } from "../orders/format/index.ts";
import type { Policy } from "./format/index.ts";

export interface ExpectedTrialOrder {
  readonly verb: "lockdown.confirm" | "lockdown.revert";
  readonly deviceId: string;
  readonly nonce: string;
  readonly planHash: string;
  /**
   * Wall clock; undefined while it cannot be trusted. Then the nonce alone bounds the order's life.
   * [OPS-7]
   */
  readonly nowMs: number | undefined;
}

/**
 * @returns the id of the key that signed.
 * @throws Fault `order.invalid`, `order.bad-signature`, `order.replayed` for the nonce of another
 *   trial, `order.expired`.
 */
export function judgeTrialOrder(encoded: Uint8Array | string, policy: Policy, expected: ExpectedTrialOrder): string {
  const keys = new Map(
    policy.confirmKeys.flatMap((text) => {
      const key = orderKey(text);
      return key === undefined ? [] : [[orderKeyId(key), key] as const];
    }),
  );
  const { order, keyid } = openOrder(encoded, keys);
  const { verb, deviceId, nonce, planHash, nowMs } = expected;
  const mismatch = mismatchOf(order, { verb, deviceId, planHash });
  if (mismatch !== undefined) throw new Fault("order.invalid", `order refused: ${mismatch}`);
  if (order.nonce !== nonce)
    throw new Fault("order.replayed", "order refused: its nonce is not the one of the policy that is being tried now");
  if (nowMs !== undefined && nowMs > Date.parse(order.notAfter))
    throw new Fault("order.expired", `order refused: it was valid until ${order.notAfter}`);
  return keyid;
}

function mismatchOf(order: Order, wanted: Pick<ExpectedTrialOrder, "verb" | "deviceId" | "planHash">): string | undefined {
  for (const member of ["verb", "deviceId", "planHash"] as const)
    if (order[member] !== wanted[member]) return `its ${member} is "${order[member] ?? "none"}", expected "${wanted[member]}"`;
  return undefined;
}
