// A TPM that a test plugs in, pulls out and clears, as far as it tells who it is.
import * as v from "valibot";
import type { ChipReader, ChipReading } from "../../../hal/chip.ts";
import { Fault } from "../../../hal/fault.ts";
import { type BirthRecord, birthRecordSchema } from "../../../hal/format/identity.ts";

export const chipName = (digit: string): string => `000b${digit.repeat(64)}`;

export const OWN_CHIP: ChipReading = { roots: [chipName("1")], isComplete: true, endorsement: chipName("e") };
/** The same chip after TPM2_Clear. */
export const CLEARED_CHIP: ChipReading = { ...OWN_CHIP, roots: [chipName("2")] };
export const OTHER_CHIP: ChipReading = { roots: [chipName("3")], isComplete: true, endorsement: chipName("f") };

export interface FakeChip extends ChipReader {
  /** What is plugged in; undefined for nothing, a fault for a chip that does not tell. */
  plugged: ChipReading | Fault | "hangs" | undefined;
  /** How often it was looked at. */
  looks: number;
}

export function fakeChip(plugged: FakeChip["plugged"]): FakeChip {
  const chip: FakeChip = {
    place: "device:/dev/tpmrm0",
    plugged,
    looks: 0,
    read: async () => {
      chip.looks += 1;
      const { plugged: found } = chip;
      if (found === "hangs") return await new Promise<never>(() => undefined);
      if (found instanceof Fault) throw found;
      return found;
    },
  };
  return chip;
}

/** The record of a device that was born with its key in `chip`. */
export function bornOn({ roots, endorsement }: ChipReading, change: Partial<BirthRecord> = {}): BirthRecord {
  return v.parse(birthRecordSchema, {
    v: 2,
    id: "GW-4711",
    source: "serial",
    protection: "tpm",
    keyFingerprint: `sha256:${"a".repeat(64)}`,
    chip: { storage: roots[0], ...(endorsement !== undefined && { endorsement }) },
    ...change,
  });
}
