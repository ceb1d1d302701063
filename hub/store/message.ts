// Messages between the hub and the threads of its store. They are checked, because the compiler
// does not see across threads.
import * as v from "valibot";
import { FAULT_CODES } from "../../hal/fault.ts";
import type { SqlParameters, Statement, StatementResult } from "./engine.ts";
import type { Row } from "./row.ts";

const id = v.number();

export const requestMessage = v.variant("ask", [
  v.strictObject({ ask: v.literal("read"), id, sql: v.string(), parameters: v.custom<SqlParameters>(isObject) }),
  v.strictObject({ ask: v.literal("commit"), id, statements: v.custom<readonly Statement[]>(Array.isArray) }),
  v.strictObject({ ask: v.literal("version"), id }),
  v.strictObject({ ask: v.literal("close"), id }),
]);
export type StoreRequest = v.InferOutput<typeof requestMessage>;

export const answerMessage = v.union([
  v.strictObject({ id, rows: v.custom<readonly Row[]>(Array.isArray) }),
  v.strictObject({ id, results: v.custom<readonly StatementResult[]>(Array.isArray) }),
  v.strictObject({ id, version: v.number() }),
  v.strictObject({ id, closed: v.literal(true) }),
  v.strictObject({ id, fault: v.strictObject({ code: v.picklist(FAULT_CODES), message: v.string() }) }),
]);
export type StoreAnswer = v.InferOutput<typeof answerMessage>;

/** What a thread is started with. */
export const threadData = v.strictObject({ path: v.string() });

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
