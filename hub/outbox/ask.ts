// Asking a device from the command line: the question lies in the outbox, the serving hub sends it and puts the answer beside it. [OPS-6]
import { setTimeout as delay } from "node:timers/promises";
import { operationAnswerSchema, OPERATION_ANSWER_BYTES_MAX } from "../../agent/operations/format.ts";
import { type JsonValue, parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { JournalDetail } from "../store/index.ts";
import type { JournalWriter } from "../journal.ts";
import { ANSWER_LOOK_MS } from "../limits.ts";
import type { Store } from "../store/index.ts";
import { queueOperation } from "./queue.ts";

export interface OperationQuestion {
  readonly deviceId: DeviceId;
  readonly operation: string;
  readonly args: JsonValue;
  readonly waitMs: number;
  /** For the journal: who asks, and why. */
  readonly detail: JournalDetail;
}

/** What came of it. `no-answer` with `delivered`: the device has the question, so what it asks for may still happen; without, it is withdrawn. */
export type Answered = {
  readonly deviceId: DeviceId;
  readonly operation: string;
  /** Correlation: the same in the device's audit trail. */
  readonly id: string;
} & (
  | { readonly state: "answered"; readonly result: Readonly<Record<string, unknown>> }
  | { readonly state: "refused"; readonly fault: { readonly code: string; readonly message: string } }
  | { readonly state: "no-answer"; readonly delivered: boolean }
);

/** @throws Fault `hub.device-unknown`, `hub.outbox-full`, `hub.store-failed`; `schema.invalid` for an answer that is none. */
export async function ask(
  { store, journal }: { readonly store: Store; readonly journal: JournalWriter },
  { deviceId, operation, args, waitMs, detail }: OperationQuestion,
  stop: AbortSignal,
): Promise<Answered> {
  const {
    id,
    correlation = "",
    expiresAtMs,
  } = store.transaction(() => {
    const queued = queueOperation(store, deviceId, { operation, args }, waitMs);
    journal("operation.asked", deviceId, { operation, id: queued.correlation, ...detail });
    return queued;
  });
  const asked = { deviceId, operation, id: correlation };
  for (let seen = store.version(); ;) {
    const answer = store.outbox.find(id)?.answer;
    if (answer !== undefined || stop.aborted || Date.now() >= expiresAtMs) break;
    // another process writes the answer, so until the version changes there is nothing to read
    do await delay(ANSWER_LOOK_MS);
    while (store.version() === seen && !stop.aborted && Date.now() < expiresAtMs);
    seen = store.version();
  }
  const last = store.outbox.remove(id);
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
