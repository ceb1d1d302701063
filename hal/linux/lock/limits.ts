/** flock(1) answers in milliseconds; it does not wait (-n). */
export const LOCK_MS_MAX = 10_000;

/** The owner writes its pid right after it has the lock; until then the file may be empty or name an owner that is gone. */
export const OWNER_LOOKS_MAX = 10;
export const OWNER_LOOK_EVERY_MS = 20;

/** A pid and a newline. */
export const LOCK_FILE_BYTES_MAX = 32;
