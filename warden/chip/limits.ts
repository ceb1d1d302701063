// Waits of the look at the TPM.

/** Between two looks while the TPM is not known to be the device's own. */
export const LOOK_MS = 2000;
/** The same, once it is known that it is not, or has not answered for long. */
export const LOOK_AGAIN_MS = 15_000;
/** The start waits this long for the first look: the agent is served after that. */
export const FIRST_LOOK_MS_MAX = 5000;
/**
 * The drivers of a machine have come by this time after its boot: a TPM that is absent then is
 * missing. [ID-71]
 */
export const DRIVERS_COME_MS_MAX = 45_000;
/** A warden that starts later looks for at least this long. */
export const LOOK_MS_MIN = 10_000;

/**
 * Records of a TPM that goes and comes: a burst, then one per period, so that nobody fills the log
 * by plugging. [AUD-12]
 */
export const RECORDS_BURST_MAX = 16;
export const RECORDS_PERIOD_MS = 60_000;
