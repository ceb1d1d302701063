// A question to a device from the command line: it is put into the outbox, the running hub sends
// it, and the answer is stored beside it. [OPS-6]
import { setTimeout as delay } from "node:timers/promises";
import { operationAnswerSchema, OPERATION_ANSWER_BYTES_MAX } from "../../agent/operations/format.ts";
import { type JsonValue, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { ANSWER_POLL_MS } from "../limits.ts";
import type { JournalDetail, Store } from "../store/index.ts";
import { queueOperation } from "./queue.ts";

export interface OperationQuestion {
  readonly deviceId: DeviceId;
  readonly operation: string;
  readonly args: JsonValue;
  readonly waitMs: number;
  /** For the journal: the operator, and the reason. */
  readonly detail: JournalDetail;
}

/**
 * The outcome. `no-answer` with `delivered`: the device has the question, so the operation may
 * still be performed. Without `delivered`, the question was withdrawn.
 */
export type Answered = {
  readonly deviceId: DeviceId;
  readonly operation: string;
  /** The correlation id, which the device's audit trail has too. */
  readonly id: string;
} & (
  | { readonly state: "answered"; readonly result: Readonly<Record<string, unknown>> }
  | { readonly state: "refused"; readonly fault: { readonly code: string; readonly message: string } }
  | { readonly state: "no-answer"; readonly delivered: boolean }
);

/**
 * @throws Fault `hub.device-unknown`, `hub.outbox-full`, `hub.store-failed`; `schema.invalid` for a
 *   malformed answer.
 */
export async function ask(
  { store }: { readonly store: Store },
  { deviceId, operation, args, waitMs, detail }: OperationQuestion,
  stop: AbortSignal,
): Promise<Answered> {
  const queued = await queueOperation(store, deviceId, { operation, args }, waitMs, (correlation) =>
    store.journal.entry("operation.asked", deviceId, { operation, id: correlation, ...detail }, Date.now()),
  );
  const { id, correlation = "", expiresAtMs } = queued;
  const asked = { deviceId, operation, id: correlation };
  for (let seen = await store.version(); ;) {
    const answer = (await store.outbox.find(id))?.answer;
    if (answer !== undefined || stop.aborted || Date.now() >= expiresAtMs) break;
    // Another process writes the answer, so there is nothing to read until the version changes.
    do await delay(ANSWER_POLL_MS);
    while ((await store.version()) === seen && !stop.aborted && Date.now() < expiresAtMs);
    seen = await store.version();
  }
  const last = await store.outbox.find(id);
  await store.commit(store.outbox.remove(id));
  if (last?.answer === undefined) return { ...asked, state: "no-answer", delivered: last?.deliveredAtMs !== undefined };
  const parsed = check(
    operationAnswerSchema,
    parseJson(last.answer, OPERATION_ANSWER_BYTES_MAX, "answer"),
    `answer of "${deviceId}"`,
  );
  return "fault" in parsed
    ? { ...asked, state: "refused", fault: parsed.fault }
    : { ...asked, state: "answered", result: parsed.result };
}
