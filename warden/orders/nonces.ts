// Nonces for orders: each for one verb and one use, with a limited life by the monotonic clock, in
// a bounded number. They end with the process. [OPS-21]
import type { OrderVerb } from "./format/index.ts";
import { NONCE_BYTES, NONCE_LIFE_MS, NONCES_MAX, NONCES_OF_VERB_MAX } from "./limits.ts";

export interface OrderNonces {
  /** @returns 64 hex digits. */
  issue(verb: OrderVerb, monotonicMs: number): string;
  /** True while `nonce` waits for an order of `verb`. The question does not spend it. */
  waits(nonce: string, verb: OrderVerb, monotonicMs: number): boolean;
  /** Ends the nonce: it never waits again. */
  spend(nonce: string): void;
}

export function createOrderNonces(random: (bytes: number) => Uint8Array): OrderNonces {
  // in order of issue
  const issued = new Map<string, { readonly verb: OrderVerb; readonly atMs: number }>();
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
