// Bounds of what lockdown keeps and waits for. What a policy can say is bounded in format/limits.ts.

/** The record on disk: one policy with its defaults spelled out, and a few words. */
export const RECORD_BYTES_MAX = 131_072;
/** When what should be in force can't be put in force, everything is shut and this long passes before the next try. */
export const RETRY_MS = 60_000;
export const NONCE_BYTES = 32;
