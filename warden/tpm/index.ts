export { type ChipOwnership, type ChipOwnershipOptions, openChipOwnership } from "./ownership.ts";
export type { ChipPasswords } from "./record.ts";
