// The hub's reading of devices' reports: answers to its questions, and entries for its journal.
// [OPS-6]
import * as v from "valibot";
import {
  lockdownPendingSchema,
  operationResultSchema,
  type ReportMessage,
  updateReportSchema,
  type UpChannel,
} from "../../agent/tunnel/format.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { JournalWriter } from "../journal.ts";
import type { JournalEvent, Store } from "../store/index.ts";

type Report = ReportMessage["body"];

const PHASES: Readonly<Record<string, JournalEvent>> = {
  committed: "update.committed",
  failed: "update.failed",
  "rolled-back": "update.rolled-back",
};

/**
 * Call it once for each report, in the transaction that stores it. A report of a known kind but
 * with another form is ignored here; it is stored like any other message.
 */
export function readReport(
  { store, journal }: { readonly store: Store; readonly journal: JournalWriter },
  deviceId: DeviceId,
  channel: UpChannel,
  body: Report,
): void {
  if (channel === "result") return storeAnswer(store, journal, deviceId, body);
  if (channel === "update") {
    const report = v.safeParse(updateReportSchema, body);
    if (!report.success) return;
    const { phase, release, reason, detail } = report.output.update;
    const event = PHASES[phase];
    if (event === undefined) return;
    journal(event, deviceId, {
      target: release?.target,
      counter: release?.counter,
      why: reason?.why,
      detail: reason?.detail ?? detail,
    });
    return;
  }
  const pending = channel === "event" ? v.safeParse(lockdownPendingSchema, body) : undefined;
  if (pending?.success !== true) return;
  const { counter, planHash, confirmWithinMs } = pending.output;
  journal("lockdown.pending", deviceId, { counter, planHash, confirmWithinMs });
}

/**
 * Stores only answers to questions of the hub, so that no device can fill the store with answers.
 */
function storeAnswer(store: Store, journal: JournalWriter, deviceId: DeviceId, body: Report): void {
  const result = v.safeParse(operationResultSchema, body);
  if (!result.success) return;
  const { answer } = result.output;
  const asked = store.outbox.answer(deviceId, answer.id, JSON.stringify(answer), Date.now());
  if (asked === undefined) return;
  const outcome = "fault" in answer ? answer.fault.code : "ok";
  journal("operation.answered", deviceId, { id: answer.id, outcome });
}
