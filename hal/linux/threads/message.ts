// What passes between threads of one program. Checked all the same: the compiler does not see across.
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

/** What is to be handed over with a message; the other thread has it afterwards, this one no more. */
export function ownBuffer({ buffer, byteLength }: Uint8Array): ArrayBuffer {
  assert(buffer instanceof ArrayBuffer && buffer.byteLength - byteLength < 4096, "memory for a thread has its buffer to itself");
  return buffer;
}
