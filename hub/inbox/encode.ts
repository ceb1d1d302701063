// The envelope of the hub's own messages. [TUN-8]
import { canonicalJson, type JsonValue } from "../../hal/format/json.ts";

/** [TUN-8] @returns a message of the hub, as canonical JSON. */
export function encodeMessage(id: string, body: JsonValue): string {
  return canonicalJson({ v: 1, id, at: new Date().toISOString(), body });
}
