// Nonces for orders: each for one verb, one use, a while by the monotonic clock, a bounded number. They die with the process. [OPS-9]
import type { OrderVerb } from "./format/index.ts";
import { NONCE_BYTES, NONCE_LIFE_MS, NONCES_MAX, NONCES_OF_VERB_MAX } from "./limits.ts";

export interface OrderNonces {
  /** 64 hex digits. */
  issue(verb: OrderVerb, monotonicMs: number): string;
  /** True while `nonce` waits for an order of `verb`. Costs it nothing. */
  waits(nonce: string, verb: OrderVerb, monotonicMs: number): boolean;
  /** It never waits again. */
  spend(nonce: string): void;
}

export function createOrderNonces(random: (bytes: number) => Uint8Array): OrderNonces {
  const issued = new Map<string, { readonly verb: OrderVerb; readonly atMs: number }>(); // in order of issue
  return {
    issue(verb, monotonicMs) {
      const same = [...issued].flatMap(([nonce, known]) => (known.verb === verb ? [nonce] : []));
      const [oldest] = same.length >= NONCES_OF_VERB_MAX ? same : issued.size >= NONCES_MAX ? issued.keys() : [];
      if (oldest !== undefined) issued.delete(oldest);
      const nonce = Buffer.from(random(NONCE_BYTES)).toString("hex");
      issued.set(nonce, { verb, atMs: monotonicMs });
      return nonce;
    },
    waits(nonce, verb, monotonicMs) {
      const found = issued.get(nonce);
      return found !== undefined && found.verb === verb && monotonicMs - found.atMs <= NONCE_LIFE_MS;
    },
    spend: (nonce) => void issued.delete(nonce),
  };
}
