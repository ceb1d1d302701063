// Bounds of a trial.

/**
 * Boots in which the boot choice is told, or the reboot into it asked for, in one trial: more than one only where the power went before it was done, or the boot loader
 * does not do it; never for a system that did not come up. Asked again within a boot counts once.
 */
export const TRIES_MAX = 3;
/** After this long since its boot a system under trial has had its chance. The timer that needs no Node has the same. */
export const TRIAL_MS_DEFAULT = 600_000;
/** Named checks of one trial. */
export const CHECKS_MAX = 16;
/** Releases that were rolled back and are not taken again without an order. With so many of them none is: one that was forgotten could be tried for ever. */
export const QUARANTINED_MAX = 16;
/** Words kept of a reason. */
export const DETAIL_CHARACTERS_MAX = 256;
/** A UUID. */
export const BOOT_ID_CHARACTERS_MAX = 36;
export const RECORD_BYTES_MAX = 32_768;
