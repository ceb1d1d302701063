/**
 * The kernel's own bound of its command line: COMMAND_LINE_SIZE is 2048 on x86 and arm64, and at
 * most 4096 elsewhere.
 */
export const COMMAND_LINE_BYTES_MAX = 4096;
/**
 * Reads past the page cache start and end at a multiple of this. No disk has larger logical
 * sectors.
 */
export const DIRECT_BYTES_ALIGN = 4096;
/** malloc aligns to this, so one of 256 steps finds the start of a page. */
export const ADDRESS_STEP_BYTES = 16;
/**
 * Names in the folder of the kernel images: two kernels, a new one, what a cut left behind, and
 * nothing else.
 */
export const ENTRIES_MAX = 64;
/** The unit of sysfs, which is not the disk's own sector size. */
export const SECTOR_BYTES = 512;
export const SECTORS_TEXT_BYTES_MAX = 32;
/**
 * An add-on is systemd's stub with one line of text, some 20 KiB. Anybody who holds the disk may
 * write to the EFI system partition. [STA-32]
 */
export const ADDON_BYTES_MAX = 1_048_576;
