// The TLS context of the device's credentials, kept from one connection to the next. A context
// opens the key, and a TPM has room for few loaded keys.
import type { SecureContext } from "node:tls";
import type { TunnelOptions } from "./options.ts";
import { createContext } from "./stream.ts";

/**
 * @returns a function that asks for the credentials and gives the context for them. It makes a new
 *   context only when the certificate or the key differs from the last time.
 *   It throws what `credentials` throws, and Fault `key.mismatch` as {@link createContext} does.
 */
export function createContextCache(
  options: Pick<TunnelOptions, "anchors" | "credentials" | "minTls">,
): () => Promise<SecureContext> {
  let cached: { readonly cert: string; readonly key: string; readonly context: SecureContext } | undefined;
  return async () => {
    const { cert, key } = await options.credentials();
    if (cached === undefined || cached.cert !== cert || cached.key !== key) {
      const { authority } = options.anchors;
      cached = { cert, key, context: createContext({ cert, key, authority, minTls: options.minTls }) };
    }
    return cached.context;
  };
}
