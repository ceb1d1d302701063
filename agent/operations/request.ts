// A request from outside, read once. [OPS-6]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { correlationSchema, type OperationRequest, operationRequestSchema } from "./format.ts";

/** @returns the request, or the fault `operation.invalid` as a value: who sent it is found out before it is answered. */
export function readRequest(value: unknown): OperationRequest | Fault {
  try {
    return check(operationRequestSchema, value, "request", "operation.invalid");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** The id to answer under: the request's own where it has a valid one, else empty. */
export function answerId(value: unknown): string {
  const read = v.safeParse(v.object({ id: correlationSchema }), value);
  return read.success ? read.output.id : "";
}
