// What a store trusts when the program starts: the image's root and what was accepted before.
// Nothing is fetched or written, and no date is checked.
import type { DurableFiles } from "../../hal/ports.ts";
import { ROOT_BYTES_MAX, SNAPSHOT_BYTES_MAX, TIMESTAMP_BYTES_MAX } from "./limits.ts";
import { onlineKeys, trustRoot } from "./root.ts";
import { restoreSnapshot } from "./snapshot.ts";
import { type Damage, asDamage, isDamage, ONLINE_KEYS_BYTES_MAX, ONLINE_KEYS_FILE, readStored, storedName } from "./stored.ts";
import { updateTimestamp } from "./timestamp.ts";
import type { TrustedMetadata } from "./trusted.ts";

export interface RestoredTrust {
  readonly trusted: TrustedMetadata;
  /**
   * The image's root, when it is newer than the stored one or none is stored. The next refresh
   * stores it.
   */
  readonly rootToStore: Uint8Array | undefined;
  readonly damaged: readonly Damage[];
}

/**
 * [OTA-23] TUF 5.2, and the trusted timestamp and snapshot that 5.4 and 5.5 compare with. The newer
 * root of image and store counts, so that neither an old image nor an old store leads back.
 * @throws Fault `trust.too-large`, `trust.invalid`, `trust.bad-signature` when neither root can be
 *   used; those of `files` that are not damage.
 */
export async function restore(files: DurableFiles, imageRoot: Uint8Array): Promise<RestoredTrust> {
  const damaged: Damage[] = [];
  const intact = <T>(value: T | Damage | undefined): T | undefined => {
    if (!isDamage(value)) return value;
    damaged.push(value);
    return undefined;
  };

  const stored = intact(await readStored(files, storedName("root"), ROOT_BYTES_MAX, trustRoot));
  const image = stored === undefined ? trustRoot(imageRoot) : intact(rootOfImage(imageRoot));
  const newer = (image?.root.signed.version ?? 0) > (stored?.root.signed.version ?? 0);
  const first = newer || stored === undefined ? (image ?? trustRoot(imageRoot)) : stored;
  const rootToStore = first === stored ? undefined : imageRoot;

  const keys = await readStored(files, ONLINE_KEYS_FILE, ONLINE_KEYS_BYTES_MAX, (bytes) => Buffer.from(bytes).toString());
  // 5.3.11 is due, or nothing was accepted yet
  if (intact(keys) !== onlineKeys(first.root)) return { trusted: first, rootToStore, damaged };

  const timestamp = await readStored(files, storedName("timestamp"), TIMESTAMP_BYTES_MAX, (bytes) =>
    updateTimestamp(first, bytes, undefined),
  );
  const second = intact(timestamp) ?? first;
  const snapshot = await readStored(files, storedName("snapshot"), SNAPSHOT_BYTES_MAX, (bytes) => restoreSnapshot(second, bytes));
  return { trusted: intact(snapshot) ?? second, rootToStore, damaged };
}

/** A bad root in the image beside a good one in the store is reported, but is no reason to stop. */
function rootOfImage(imageRoot: Uint8Array): TrustedMetadata | Damage {
  try {
    return trustRoot(imageRoot);
  } catch (error) {
    return asDamage("root of the image", error);
  }
}
