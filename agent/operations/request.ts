// The parsing of a request from outside. It happens once. [OPS-6]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import { correlationSchema, type OperationRequest, operationRequestSchema } from "./format.ts";

/**
 * @returns the request, or the fault `operation.invalid` as a value: the sender is authenticated
 *   before a malformed request is answered.
 */
export function readRequest(value: unknown): OperationRequest | Fault {
  try {
    return check(operationRequestSchema, value, "request", "operation.invalid");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** @returns the id for the answer: that of the request if it is valid, otherwise an empty text. */
export function answerId(value: unknown): string {
  return tryCheck(v.object({ id: correlationSchema }), value)?.id ?? "";
}
