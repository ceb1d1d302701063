// The factory reset: ordered by the owner, carried out at the next boot before the programs start.
export { isResetUnderWay, openReset, type ResetService } from "./reset.ts";
export type { ResetChip } from "./ports.ts";
