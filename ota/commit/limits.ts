// Bounds of a trial.

/**
 * Boots in one trial that write the boot choice or ask for the reboot into it. More than one is
 * needed only where the power fails before that is done, or where the boot loader does not do it;
 * a system that did not come up gets no second attempt. Repeated requests within one boot count
 * once.
 */
export const TRIES_MAX = 3;
/**
 * The time a system under trial gets, counted from its boot. The timer that needs no Node uses the
 * same.
 */
export const TRIAL_MS_DEFAULT = 600_000;
/** Named checks of one trial. */
export const CHECKS_MAX = 16;
/**
 * Releases that were rolled back and need an order to be tried again. When the list is full every
 * release needs an order: one that fell off the list could otherwise be tried without end.
 */
export const QUARANTINED_MAX = 16;
/** UTF-16 code units of a reason or a detail. */
export const DETAIL_CHARACTERS_MAX = 256;
/** A UUID. */
export const BOOT_ID_CHARACTERS_MAX = 36;
export const RECORD_BYTES_MAX = 32_768;
