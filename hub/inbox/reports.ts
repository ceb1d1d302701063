// The hub's reading of devices' reports: answers to its questions, and entries for its journal.
// [OPS-6]
import {
  boardReportSchema,
  escrowReportSchema,
  type EscrowReport,
  lockdownPendingSchema,
  operationResultSchema,
  type ReportMessage,
  type StatusMessage,
  updateReportSchema,
  type UpChannel,
} from "../../agent/tunnel/format.ts";
import { asFault } from "../../hal/fault.ts";
import { boardText, type DeviceId } from "../../hal/format/identity.ts";
import { isWeakerClaim } from "../devices/index.ts";
import { decodeNote, decodeVerifier, encodeNote, type Verifier } from "../../warden/audit/format/index.ts";
import { verifyEscrowNote } from "../../warden/escrow/format/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { Change, JournalEvent, Store, StoredEscrow } from "../store/index.ts";
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

export interface ReadReport {
  /** What to commit with the report. */
  readonly changes: readonly Change[];
  /** The escrow note that is stored after the commit. */
  readonly escrowed?: Pick<StoredEscrow, "note" | "auditKey">;
}

const NOTHING: ReadReport = { changes: [] };

/**
 * A report of a known kind but with another form is ignored here; it is stored like any other
 * message.
 */
export async function readReport(
  store: Store,
  journal: JournalWriter,
  deviceId: DeviceId,
  channel: UpChannel,
  body: Report,
): Promise<ReadReport> {
  if (channel === "result") return { changes: await answerIn(store, journal, deviceId, body) };
  if (channel === "update") {
    const report = tryCheck(updateReportSchema, body);
    if (report === undefined) return NOTHING;
    const { phase, release, reason, detail } = report.update;
    const event = PHASES[phase];
    if (event === undefined) return NOTHING;
    journal(event, deviceId, {
      target: release?.target,
      counter: release?.counter,
      why: reason?.why,
      detail: reason?.detail ?? detail,
    });
    return NOTHING;
  }
  const board = channel === "event" ? tryCheck(boardReportSchema, body) : undefined;
  if (board !== undefined) {
    const { born, found } = board;
    journal("device.board-changed", deviceId, {
      born: born === undefined ? undefined : boardText(born),
      found: boardText(found),
    });
    return NOTHING;
  }
  const escrow = channel === "event" ? tryCheck(escrowReportSchema, body) : undefined;
  if (escrow !== undefined) return escrowIn(store, journal, deviceId, escrow);
  const pending = channel === "event" ? tryCheck(lockdownPendingSchema, body) : undefined;
  if (pending === undefined) return NOTHING;
  const { counter, planHash, confirmWithinMs } = pending;
  journal("lockdown.pending", deviceId, { counter, planHash, confirmWithinMs });
  return NOTHING;
}

/**
 * [ID-55] Stores a note that the device's warden has signed. A captured agent can repeat one, and
 * that changes nothing.
 */
async function escrowIn(store: Store, journal: JournalWriter, deviceId: DeviceId, { note }: EscrowReport): Promise<ReadReport> {
  const refuse = (reason: string): ReadReport => {
    journal("tpm.escrow-refused", deviceId, { reason });
    return NOTHING;
  };
  const auditKey = (await store.devices.approved(deviceId))?.auditKey;
  if (auditKey === undefined) return refuse("no audit key was approved for this device");
  const stored = await store.escrows.ofDevice(deviceId);
  try {
    const verifier = decodeVerifier(auditKey);
    const { deviceId: named, madeAt, storage } = verifyEscrowNote(note, verifier);
    if (named !== deviceId) return refuse(`it is for the device "${named}"`);
    // Whoever carries it can add signatures of others.
    const own = withOwnSignature(note, verifier);
    const known = stored.find((each) => each.note === own);
    if (known !== undefined) return { changes: [], escrowed: known };
    const madeAtMs = Date.parse(madeAt);
    if (stored.some((each) => each.auditKey === auditKey && each.madeAtMs >= madeAtMs))
      return refuse(`it is of ${madeAt}, which is not newer than what is stored`);
    journal("tpm.escrowed", deviceId, { madeAt, storage });
    const escrowed = { auditKey, madeAtMs, storage, receivedAtMs: Date.now(), note: own };
    return { changes: [store.escrows.add(deviceId, escrowed)], escrowed };
  } catch (error) {
    return refuse(asFault(error, "escrow.invalid", "read the note").message);
  }
}

function withOwnSignature(encoded: string, { name, id }: Verifier): string {
  const { text, signatures } = decodeNote(encoded);
  const own = signatures.filter((each) => each.name === name && Buffer.from(each.id).equals(id)).slice(0, 1);
  return encodeNote({ text, signatures: own });
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
