// The update cycle of the top-level roles, TUF 5.3 to 5.6.6, in the order of the specification.
// Each file is stored before it is trusted.
import { checkExpiry } from "./checks.ts";
import { metadataName } from "./format/names.ts";
import { ROOT_BYTES_MAX, ROOTS_PER_REFRESH_MAX, SNAPSHOT_BYTES_MAX, TIMESTAMP_BYTES_MAX } from "./limits.ts";
import { checkRootExpiry, onlineKeys, updateRoot } from "./root.ts";
import { fetchBounded, fileNameOf, loadRole, fetchRequired, type RefreshSession, type Source } from "./session.ts";
import { updateSnapshot } from "./snapshot.ts";
import { ONLINE_KEYS_BYTES_MAX, ONLINE_KEYS_FILE, readStored, storedName } from "./stored.ts";
import { updateTimestamp } from "./timestamp.ts";
import { currentSnapshot, TARGETS, type TrustedMetadata } from "./trusted.ts";

/**
 * Updates root, timestamp, snapshot and targets. What was accepted before a fault stays accepted
 * and stored; what was refused leaves no trace.
 * @throws Fault of every check, `trust.missing`, and those of files and source.
 */
export async function refreshTopLevel(session: RefreshSession, source: Source): Promise<TrustedMetadata> {
  await refreshRoot(session, source);
  await refreshTimestamp(session, source);
  await refreshSnapshot(session, source);
  return await loadRole(session, session.trusted, TARGETS, source);
}

/** [OTA-3] TUF 5.3. */
async function refreshRoot(session: RefreshSession, source: Source): Promise<void> {
  if (session.rootToStore !== undefined) await session.files.put(storedName("root"), session.rootToStore);
  session.rootToStore = undefined;
  await dropIfOnlineKeysChanged(session);
  for (let followed = 0; followed < ROOTS_PER_REFRESH_MAX; followed += 1) {
    const name = metadataName("root", session.trusted.root.signed.version + 1);
    const bytes = await fetchBounded(source, name, ROOT_BYTES_MAX);
    if (bytes === undefined) break;
    const next = updateRoot(session.trusted, bytes, source.nowMs);
    await session.files.put(storedName("root"), bytes); // 5.3.8
    session.trusted = next;
    await dropIfOnlineKeysChanged(session);
  }
  checkRootExpiry(session.trusted, source.nowMs);
}

/**
 * [OTA-4] TUF 5.3.11. The specification compares the keys before with the keys after, which a power
 * cut between the new root and the removal would forget. So the keys under which timestamp and
 * snapshot were accepted are stored last, and are compared with the root's whenever a cycle or a
 * program starts.
 */
async function dropIfOnlineKeysChanged(session: RefreshSession): Promise<void> {
  const { files, trusted } = session;
  const keys = onlineKeys(trusted.root);
  const settled = await readStored(files, ONLINE_KEYS_FILE, ONLINE_KEYS_BYTES_MAX, (bytes) => Buffer.from(bytes).toString());
  if (settled === keys) return;
  // as restore() would after a cut here
  session.trusted = { root: trusted.root, targets: new Map() };
  await files.remove(storedName("timestamp"));
  await files.remove(storedName("snapshot"));
  await files.put(ONLINE_KEYS_FILE, Buffer.from(keys));
}

/** [OTA-5] TUF 5.4. */
async function refreshTimestamp(session: RefreshSession, source: Source): Promise<void> {
  const bytes = await fetchRequired(source, metadataName("timestamp", undefined), TIMESTAMP_BYTES_MAX);
  const next = updateTimestamp(session.trusted, bytes, source.nowMs);
  if (next === session.trusted) return; // 5.4.3.1: nothing new
  await session.files.put(storedName("timestamp"), bytes); // 5.4.5
  session.trusted = next;
}

/** [OTA-6] TUF 5.5. */
async function refreshSnapshot(session: RefreshSession, source: Source): Promise<void> {
  const current = currentSnapshot(session.trusted);
  if (current !== undefined) {
    checkExpiry(current, source.nowMs, `snapshot ${current.signed.version}`, "5.5.6");
    return;
  }
  const announced = session.trusted.timestamp?.signed.meta["snapshot.json"];
  const bytesMax = Math.min(announced?.length ?? SNAPSHOT_BYTES_MAX, SNAPSHOT_BYTES_MAX);
  const bytes = await fetchRequired(source, fileNameOf(session.trusted, "snapshot", announced?.version ?? 1), bytesMax);
  const next = updateSnapshot(session.trusted, bytes, source.nowMs);
  await session.files.put(storedName("snapshot"), bytes); // 5.5.7
  session.trusted = next;
}
