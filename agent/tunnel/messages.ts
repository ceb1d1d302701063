// The encoding of messages to the hub. [TUN-8]
import { randomUUID } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { MESSAGE_BYTES_MAX } from "./format.ts";

/**
 * @returns `body` in its envelope, with an id of its own. A message is encoded once, so that every
 *   transmission has the same id.
 * @throws Fault `spool.too-large` above {@link MESSAGE_BYTES_MAX}, which no receiver accepts.
 */
export function encodeMessage(body: object, atMs: number): Uint8Array {
  const bytes = Buffer.from(JSON.stringify({ v: 1, id: randomUUID(), at: new Date(atMs).toISOString(), body }));
  if (bytes.byteLength > MESSAGE_BYTES_MAX)
    throw new Fault("spool.too-large", `make a message of ${bytes.byteLength} bytes: at most ${MESSAGE_BYTES_MAX} are accepted`);
  return bytes;
}
