// Messages between the threads of one program. They are checked, because the compiler does not see
// across threads.
import * as v from "valibot";
import { assert, FAULT_CODES } from "../../fault.ts";

const memory = v.custom<Uint8Array>((value) => value instanceof Uint8Array);
const numbers = v.array(v.number());

export const jobMessage = v.strictObject({ task: v.string(), memory, texts: v.array(v.string()), numbers });
export const answerMessage = v.union([
  v.strictObject({ memory, numbers }),
  v.strictObject({ fault: v.strictObject({ code: v.picklist(FAULT_CODES), message: v.string() }) }),
]);
export type AnswerMessage = v.InferOutput<typeof answerMessage>;

/**
 * The buffer to transfer with a message. Afterwards it belongs to the other thread and no longer to
 * this one.
 */
export function ownBuffer({ buffer, byteLength }: Uint8Array): ArrayBuffer {
  assert(buffer instanceof ArrayBuffer && buffer.byteLength - byteLength < 4096, "memory for a thread has its buffer to itself");
  return buffer;
}
