// The hub's reading of devices' reports: answers to its questions, and entries for its journal.
// [OPS-6]
import {
  lockdownPendingSchema,
  operationResultSchema,
  type ReportMessage,
  type StatusMessage,
  updateReportSchema,
  type UpChannel,
} from "../../agent/tunnel/format.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { isWeakerClaim } from "../devices/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { Change, JournalEvent, Store } from "../store/index.ts";
import { tryCheck } from "../../hal/format/schema.ts";

type Report = ReportMessage["body"];

/**
 * [ID-61] The birth message says what keeps the key. A weaker claim than the approved one is an
 * alert; the connection stays, because its key is the approved one.
 */
export async function checkProtection(
  store: Store,
  journal: JournalWriter,
  deviceId: DeviceId,
  claimed: StatusMessage["body"]["protection"],
): Promise<void> {
  if (claimed === undefined) return;
  const known = await store.devices.approved(deviceId);
  if (known === undefined || !isWeakerClaim(claimed, known.protection)) return;
  const { fingerprint, protection: approved } = known;
  journal("device.weaker-key", deviceId, { fingerprint, approved, claimed, by: "status" });
}

const PHASES: Readonly<Record<string, JournalEvent>> = {
  committed: "update.committed",
  failed: "update.failed",
  "rolled-back": "update.rolled-back",
};

/**
 * A report of a known kind but with another form is ignored here; it is stored like any other
 * message.
 * @returns what to commit with the report.
 */
export async function readReport(
  store: Store,
  journal: JournalWriter,
  deviceId: DeviceId,
  channel: UpChannel,
  body: Report,
): Promise<readonly Change[]> {
  if (channel === "result") return answerIn(store, journal, deviceId, body);
  if (channel === "update") {
    const report = tryCheck(updateReportSchema, body);
    if (report === undefined) return [];
    const { phase, release, reason, detail } = report.update;
    const event = PHASES[phase];
    if (event === undefined) return [];
    journal(event, deviceId, {
      target: release?.target,
      counter: release?.counter,
      why: reason?.why,
      detail: reason?.detail ?? detail,
    });
    return [];
  }
  const pending = channel === "event" ? tryCheck(lockdownPendingSchema, body) : undefined;
  if (pending === undefined) return [];
  const { counter, planHash, confirmWithinMs } = pending;
  journal("lockdown.pending", deviceId, { counter, planHash, confirmWithinMs });
  return [];
}

/**
 * Only answers to questions of the hub are stored, so that no device can fill the store with
 * answers.
 */
async function answerIn(store: Store, journal: JournalWriter, deviceId: DeviceId, body: Report): Promise<readonly Change[]> {
  const result = tryCheck(operationResultSchema, body);
  if (result === undefined) return [];
  const { answer } = result;
  const nowMs = Date.now();
  if ((await store.outbox.asked(deviceId, answer.id, nowMs)) === undefined) return [];
  const outcome = "fault" in answer ? answer.fault.code : "ok";
  journal("operation.answered", deviceId, { id: answer.id, outcome });
  return [store.outbox.answer(deviceId, answer.id, JSON.stringify(answer), nowMs)];
}
