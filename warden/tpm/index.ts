export { adoptPasswords } from "./adopt.ts";
export { createPasswordKeeper } from "./keeper.ts";
export { type ChipOwnership, type ChipOwnershipOptions, openChipOwnership, type PasswordKeeper } from "./ownership.ts";
