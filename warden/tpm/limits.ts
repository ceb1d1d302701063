// Bounds and values of the ownership of the TPM.
import type { TryLimits } from "../../hal/ports.ts";

/**
 * [ID-51] What bounds wrong tries of other programs' protected objects: as many and as slow as
 * Windows has them, which disk encryption by TPM is made for. The lockout password is random, so
 * waiting for its next try protects nothing: a restart is enough.
 */
export const TRY_LIMITS: TryLimits = { tries: 32, recoveryS: 600, lockoutRecoveryS: 0 };

export const PASSWORD_BYTES = 32;

/** The opening waits this long for the chip; after that the socket is served without it. */
export const SETTLE_MS = 20_000;
/** Moves of one pass: taking ownership needs twenty. */
export const MOVES_MAX = 48;
/** Pause before a pass is tried again: the first, doubled each time, and the longest. */
export const RETRY_MS_MIN = 1000;
export const RETRY_MS_MAX = 300_000;
/** How often a chip that is settled is looked at. */
export const LOOK_MS = 300_000;
/** The end waits this long for a command that is on the way. */
export const STOP_MS = 2000;

export const RECORD_BYTES_MAX = 4096;
/** Records of former passwords that are kept, and their bytes in base64 with the envelope. */
export const ASIDE_MAX = 4;
export const ASIDE_BYTES_MAX = 32_768;

/** Audit records of what others can cause: a burst, then one a period. */
export const RECORDS_BURST_MAX = 8;
export const RECORDS_PERIOD_MS = 600_000;
/** UTF-16 code units of a reason in an audit record. */
export const WHY_CHARACTERS_MAX = 480;
