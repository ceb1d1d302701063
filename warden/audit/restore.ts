// The start of the log: it judges the files of the last epoch, cuts a torn tail, or closes a
// tampered epoch and begins the next. [AUD-23]
//
// A tampered epoch is never written to again: its files, its key and its checkpoints keep their
// names. The next epoch is a new log with a new key, so nothing signed with the old key is ever
// contradicted (a log must not sign two histories), and the hub cannot take it for the log it
// knows. The hub witnesses again only after the owner has admitted the device anew. The first
// record of the new epoch says what was found. Meanwhile the warden goes on recording.
import { Fault, takesNothing } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { AppendFiles, DurableFiles } from "../../hal/ports.ts";
import { lastEpoch, listEpoch, type SoundEpoch } from "./epoch.ts";
import {
  auditKeyName,
  closedName,
  describeFinding,
  NOTE_BYTES_MAX,
  parseAuditFile,
  segmentName,
  witnessedName,
} from "./format/index.ts";
import { inspectEpoch, type Inspection } from "./inspect.ts";
import { type AuditSigner, loadAuditKey, createAuditKey } from "./key.ts";
import { AUDIT_KEY_BYTES_MAX, SEALED_EPOCHS_KEPT_MAX } from "./limits.ts";
import { type LogState, createLogState } from "./state.ts";
import { loadPendingEvents, type PendingEvents, savePendingEvents } from "./pending-events.ts";

export interface RestoreOptions {
  readonly files: AppendFiles;
  readonly state: DurableFiles;
  readonly deviceId: string;
}

export interface RestoredLog {
  readonly log: LogState;
  readonly pending: PendingEvents;
}

/**
 * Epochs that may be found bad in one start, one after the other: somebody may have planted files
 * for epochs to come.
 */
const EPOCHS_TRIED_MAX = 8;
/** Keys have gaps: those of closed epochs in the middle are removed. */
const EPOCHS_LOOKED_FOR_MAX = 256;
const WHY_CHARACTERS_MAX = 512;

/**
 * @throws Fault of the ports; `audit.tampered` only when {@link EPOCHS_TRIED_MAX} epochs in a row
 *   are bad.
 */
export async function restore(options: RestoreOptions): Promise<RestoredLog> {
  const { files, state } = options;
  const pending = await loadPendingEvents(state);
  const names = await files.list();
  const hasFiles = names.some((name) => parseAuditFile(name) !== undefined);
  const epoch = hasFiles ? lastEpoch(names) : await lastSignedEpoch(state);
  return await restoreFrom(options, epoch, pending);
}

/**
 * The last epoch that has a key, for a log whose files are all gone. Without it, a directory that
 * is lost again and again would lead through ever more epochs at each start.
 */
async function lastSignedEpoch(state: DurableFiles): Promise<number> {
  let last = 0;
  for (let epoch = 0; epoch < EPOCHS_LOOKED_FOR_MAX; epoch++) {
    if ((await state.get(auditKeyName(epoch), AUDIT_KEY_BYTES_MAX)) !== undefined) last = epoch;
    else if (epoch === 0) break;
  }
  return last;
}

/**
 * Closes the epoch of `log` for what was found while it was open, leaves its files unchanged, and
 * begins the next epoch.
 */
export async function abandon(options: RestoreOptions, log: LogState, pending: PendingEvents, why: string): Promise<RestoredLog> {
  const entry = log.tree.size - log.open.length;
  const sealed = {
    epoch: log.epoch,
    entry,
    until: log.tree.size,
    witnessed: log.witnessed,
    tampered: true,
    why: clip(why, WHY_CHARACTERS_MAX),
  };
  const next = withSealed(pending, sealed);
  await savePendingEvents(options.state, next);
  return await restoreFrom(options, log.epoch + 1, next);
}

async function restoreFrom(options: RestoreOptions, first: number, before: PendingEvents): Promise<RestoredLog> {
  const { state, deviceId } = options;
  let pending = before;
  for (let epoch = first; epoch < first + EPOCHS_TRIED_MAX; epoch++) {
    if (epoch > first || pending.sealed?.epoch === epoch - 1) await removeMiddleEpochs(options, epoch);
    const signer = (await loadAuditKey(state, epoch, deviceId)) ?? (await createFirstKey(options, epoch));
    const found = await inspectEpoch({ ...options, epoch, signer });
    if (found.verdict === "sound" && signer !== undefined) return await resume(options, signer, epoch, found.epoch, pending);
    pending = withSealed(pending, sealedBy(found, epoch));
    await savePendingEvents(state, pending);
  }
  throw new Fault(
    "audit.tampered",
    `open the audit log: ${EPOCHS_TRIED_MAX} epochs from ${first} on are tampered with: ${pending.sealed?.why ?? ""}`,
  );
}

/** Creates a key only where there is nothing that another key could have signed. */
async function createFirstKey({ files, state, deviceId }: RestoreOptions, epoch: number): Promise<AuditSigner | undefined> {
  const { segments, tiles } = listEpoch(await files.list(), epoch);
  const note = (await state.get(witnessedName(epoch), NOTE_BYTES_MAX)) ?? (await state.get(closedName(epoch), NOTE_BYTES_MAX));
  return segments.length + tiles.length > 0 || note !== undefined ? undefined : await createAuditKey(state, epoch, deviceId);
}

/** A torn tail of the closed epoch is not reported in the next one. */
function withSealed({ v, droppedTotal, dropped }: PendingEvents, sealed: NonNullable<PendingEvents["sealed"]>): PendingEvents {
  return { v, droppedTotal, dropped, sealed };
}

function sealedBy(found: Inspection, epoch: number): NonNullable<PendingEvents["sealed"]> {
  switch (found.verdict) {
    case "tampered": {
      const { entry, until } = found.finding;
      return {
        epoch,
        entry,
        until,
        witnessed: found.witnessed,
        tampered: true,
        why: clip(describeFinding(found.finding), WHY_CHARACTERS_MAX),
      };
    }
    case "renamed":
      return {
        epoch,
        entry: 0,
        until: found.size,
        witnessed: 0,
        tampered: false,
        why: clip(`the device was "${found.formerId}" before`, WHY_CHARACTERS_MAX),
      };
    case "sound":
      return { epoch, entry: 0, until: 0, witnessed: 0, tampered: true, why: "the audit key is missing" };
  }
}

/** Cuts what a crash left unfinished. The cut is stored as a pending event before it is made. */
async function resume(
  options: RestoreOptions,
  signer: AuditSigner,
  epoch: number,
  sound: SoundEpoch,
  before: PendingEvents,
): Promise<RestoredLog> {
  const { files, state } = options;
  const { torn, segments, tree } = sound;
  let pending = before;
  if (torn !== undefined) {
    if (torn.lostBytes > 0) {
      pending = { ...pending, recovered: { lostBytes: torn.lostBytes, lastSeq: tree.size - 1 } };
      await savePendingEvents(state, pending);
    }
    const name = segmentName(epoch, torn.segment);
    await unlessNothing(torn.validBytes === 0 ? files.remove(name) : files.truncate(name, torn.validBytes));
  } else {
    // if the previous process was killed, what was read may not be on the disk yet; truncating to
    // the same length syncs it before anything of it is signed
    const last = Math.max(...segments.keys());
    if (segments.size > 0) await unlessNothing(files.truncate(segmentName(epoch, last), segments.get(last) ?? 0));
  }
  return { log: createLogState(epoch, signer, sound), pending };
}

/**
 * [STA-50] On a disk that takes nothing the log is read as it is: it goes on when a later start can
 * write, because until then nothing is appended to it.
 */
async function unlessNothing(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!takesNothing(error)) throw error;
  }
}

/** Repeated tampering must not fill the disk: only the first and the last closed epoch are kept. */
async function removeMiddleEpochs({ files, state }: RestoreOptions, next: number): Promise<void> {
  const names = await files.list();
  const sealed = [...new Set(names.flatMap((name) => parseAuditFile(name)?.epoch ?? []))]
    .filter((epoch) => epoch < next)
    .sort((a, b) => a - b);
  for (const epoch of sealed.slice(1, 1 - SEALED_EPOCHS_KEPT_MAX)) {
    for (const name of names) if (parseAuditFile(name)?.epoch === epoch) await files.remove(name);
    for (const name of [auditKeyName(epoch), witnessedName(epoch), closedName(epoch)]) await state.remove(name);
  }
}
