// The device's TPM, as the warden sees it: is it the one that the device was born with?
export { type ChipGuard, openChipGuard } from "./guard.ts";
