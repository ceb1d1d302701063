// A fault as the detail of an audit record: code and message, clipped to what a record may hold.
import type { Fault, FaultCode } from "../hal/fault.ts";
import { clip } from "../hal/format/text.ts";

/** Of one text in the detail of a record, UTF-16 code units; see auditDetailSchema. */
const TEXT_CHARACTERS_MAX = 512;

export function faultDetail({ code, message }: Fault): { readonly code: FaultCode; readonly message: string } {
  return { code, message: clip(message, TEXT_CHARACTERS_MAX) };
}
