/** How often the certificate's age is looked at, at least and at most. */
export const TICK_MS = 60_000;
export const TICK_MS_MIN = 250;
/** The warden starts beside the agent: asked for at once, then less often. */
export const WARDEN_RETRY_MS_MIN = 100;
export const WARDEN_RETRY_MS_MAX = 5_000;
/** What waiting cannot mend is looked at again this often: the owner may have put the TPM or the record back. */
export const HOPELESS_RETRY_MS = 60_000;
