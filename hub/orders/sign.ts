// Signing an order: one verb, one nonce, for a short time. [OPS-7] [OPS-9]
import { type Challenge, signOrder } from "../../warden/orders/format/index.ts";
import type { OrderKey } from "./keys.ts";

/** How long an order is valid. The device's nonce is valid hardly longer. */
export const ORDER_HOLD_MS = 300_000;

/** [OPS-7] @returns the envelope as JSON text. */
export function signedOrder(
  { verb, deviceId, nonce, planHash }: Challenge,
  { privateKey, keyid }: OrderKey,
  reason: string | undefined,
  nowMs: number,
): string {
  const order = {
    v: 1,
    deviceId,
    nonce,
    verb,
    ...(planHash === undefined ? {} : { planHash }),
    notAfter: new Date(nowMs + ORDER_HOLD_MS).toISOString(),
    ...(reason === undefined ? {} : { reason }),
  } as const;
  return JSON.stringify(signOrder(order, privateKey, keyid));
}
