// Bounds of what the hub, the repository and the warden can make the agent do about releases. [OTA-40] [OTA-42]

const DAY_MS = 86_400_000;

/**
 * Looks and updates that hints and connections may begin at once, then one more after each period: a captured hub is not to keep a device busy, and an operator who
 * publishes a few times in a row is not to wait.
 */
export const BEGINNINGS_BURST_MAX = 12;
export const BEGINNING_PERIOD_MS = 20_000;

/** A device looks by itself that long after it last did, less a share of {@link LOOK_JITTER_MS}: a fleet is not to come all at once. */
export const LOOK_EVERY_MS = DAY_MS;
export const LOOK_JITTER_MS = DAY_MS / 6;
/** After a look that failed, doubled from the first to the second. */
export const LOOK_RETRY_MS_MIN = 5_000;
export const LOOK_RETRY_MS_MAX = 3_600_000;

/** The same for an update. Within a stretch ota/fetch has patience of its own. */
export const UPDATE_RETRY_MS_MIN = 2_000;
export const UPDATE_RETRY_MS_MAX = 600_000;
/** In a row, without a stretch that got through: some hours. Then the next connection or hint begins anew. */
export const UPDATE_FAILURES_MAX = 20;

/** Files one request of the warden's may want: a device that slept through every root there may be (256), and the roles. */
export const WANTS_MAX = 320;
/** Of a single one, whatever the warden says: an index. */
export const WANTED_FILE_BYTES_MAX = 8_388_608;
/** Of a file whose content does not matter yet: the store has bounds of its own. */
export const METADATA_BYTES_MAX = 2_097_152;
/** Of all of one request together: what the courier's directory may hold. */
export const WANTED_BYTES_MAX = 67_108_864;

/** Chunks in one stretch, however small they are: each is a file in the courier's directory. */
export const STRETCH_CHUNKS_MAX = 4096;
/** Between two looks at a part that is read back, or a warden that is not ready for chunks. */
export const POLL_MS = 1_000;
/** Answers in a row to `update.write` that bring the part no further. */
export const STALLS_MAX = 5;

/** Of what the warden is told when the agent gives up. */
export const ABANDON_CHARACTERS_MAX = 256;

/** While something moves in the update. */
export const FOLLOW_MOVING_MS = 2_000;
/** While it waits for an operator. */
export const FOLLOW_WAITING_MS = 30_000;
export const FOLLOW_RETRY_MS = 10_000;

/** A policy that the warden refused outright is asked for again after this long: links and clocks change. */
export const REFUSED_POLICY_AGAIN_MS = 3_600_000;
