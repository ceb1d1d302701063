// Bounds of what the hub, the repository and the warden can make the agent do about releases.
// [OTA-40] [OTA-42]

const DAY_MS = 86_400_000;

/**
 * Checks and updates that hints and connections may start at once, and then one more after each
 * period. A captured hub must not keep a device busy, and an operator who publishes a few times in
 * a row should not have to wait.
 */
export const STARTS_BURST_MAX = 12;
export const START_PERIOD_MS = 20_000;

/**
 * A device checks the repository on its own this long after the last check, less a random share of
 * {@link CHECK_JITTER_MS}, so that a fleet does not come all at once.
 */
export const CHECK_EVERY_MS = DAY_MS;
export const CHECK_JITTER_MS = DAY_MS / 6;
/** Wait after a check that failed, doubled from the first bound to the second. */
export const CHECK_RETRY_MS_MIN = 5_000;
export const CHECK_RETRY_MS_MAX = 3_600_000;

/** The same for an update. Within one range of chunks ota/fetch retries on its own. */
export const UPDATE_RETRY_MS_MIN = 2_000;
export const UPDATE_RETRY_MS_MAX = 600_000;
/**
 * Failures in a row without a range that got through, which takes some hours. Afterwards the next
 * connection or hint starts anew.
 */
export const UPDATE_FAILURES_MAX = 20;
/**
 * The same for a chunk that arrives damaged while the repository is itself: with the attempts
 * within a range about a quarter of an hour.
 */
export const DAMAGED_FAILURES_MAX = 3;
/** Of the timestamp, by which a repository is known to be itself, bytes. */
export const TIMESTAMP_PROBE_BYTES_MAX = 16_384;

/**
 * Files that one request of the warden may want: all roots that a device can have missed (256), and
 * the roles.
 */
export const WANTS_MAX = 320;
/** Of one wanted file, bytes, even if the warden allows more: an index is the largest. */
export const WANTED_FILE_BYTES_MAX = 8_388_608;
/** Of a file whose content does not matter yet, bytes. The store has bounds of its own. */
export const METADATA_BYTES_MAX = 2_097_152;
/** Of all files of one request together, bytes: what the handover directory may hold. */
export const WANTED_BYTES_MAX = 67_108_864;

/** Chunks in one range, however small they are: each one is a file in the handover directory. */
export const RANGE_CHUNKS_MAX = 4_096;
/** Between two requests about a part that is being read back, or to a warden that is not ready. */
export const POLL_MS = 1_000;
/** Answers in a row to `update.write` that do not advance the part. */
export const STALLS_MAX = 5;

/** Of the reason that the warden is told when the agent gives up, UTF-16 code units. */
export const ABANDON_CHARACTERS_MAX = 256;

/** Between two readings of the update for the hub, while a release is active. */
export const REPORT_ACTIVE_MS = 2_000;
/** The same while the update waits for an operator. */
export const REPORT_WAITING_MS = 30_000;
export const REPORT_RETRY_MS = 10_000;

/**
 * A policy that the warden refused is proposed again after this time: network links and the clock
 * change.
 */
export const REFUSED_POLICY_RETRY_MS = 3_600_000;
