// The TPM as the warden looks at it, to tell the device's own from any other. [ID-70]
import type { ChipReader } from "../../chip.ts";
import { useTpm } from "../tpm/index.ts";
import { readChip } from "./chip-names.ts";
import { isAbsent } from "./reasons.ts";

/** Of one command: a chip makes a key within some seconds. */
const TIMEOUT_MS = 20_000;

/** @param tcti the way to the chip in tss2's notation, such as `device:/dev/tpmrm0`. */
export function linuxChipReader(tcti: string): ChipReader {
  return {
    place: tcti,
    read: async () => {
      try {
        return await useTpm(tcti, readChip, { timeoutMs: TIMEOUT_MS });
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    },
  };
}
