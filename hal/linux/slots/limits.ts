/** A kernel command line, as the kernel bounds it (COMMAND_LINE_SIZE is 2048 on x86 and arm64, 4096 at most elsewhere). */
export const COMMAND_LINE_BYTES_MAX = 4096;
/** Reads past the page cache start and end on this: no disk has larger logical sectors. */
export const DIRECT_BYTES_ALIGN = 4096;
/** malloc aligns to this, so that one of 256 steps finds where a page starts. */
export const ADDRESS_STEP_BYTES = 16;
/** Names in the folder of the kernel images: two kernels, a new one, what a cut left behind, and nothing else. */
export const ENTRIES_MAX = 64;
/** Of sysfs, never the disk's own. */
export const SECTOR_BYTES = 512;
export const SECTORS_TEXT_BYTES_MAX = 32;
