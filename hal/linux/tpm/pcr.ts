// Platform configuration registers: selections, reading, extending. (Part 3, clause 22)
import { Fault } from "../../fault.ts";
import { COMMAND } from "./constants.ts";
import { NO_PASSWORD } from "./session.ts";
import { writeDigest } from "./structures.ts";
import type { Tpm } from "./tpm.ts";
import { join, u16, u32, u8, type WireReader } from "./wire.ts";

/** Registers of one bank. */
export interface PcrSelection {
  /** TPM_ALG_ID of the bank. */
  readonly hash: number;
  /** Numbers of registers, 0 to 23, rising. */
  readonly registers: readonly number[];
}

/** Registers of a PC client TPM; three bytes select among them. */
const REGISTERS = 24;
const SELECT_BYTES = 3;
/** hash, size of the bits, no bits. */
const SELECTION_BYTES_MIN = 3;
/** Bytes of the bits that are still read: 256 registers. */
const SELECT_BYTES_MAX = 32;

/** TPML_PCR_SELECTION with its TPMS_PCR_SELECTION. (Part 2, tables 93 and 111) */
export function writePcrSelection(selections: readonly PcrSelection[]): Uint8Array {
  const items = selections.map(({ hash, registers }) => {
    const bits = new Uint8Array(SELECT_BYTES);
    for (const register of registers) {
      if (!Number.isInteger(register) || register < 0 || register >= REGISTERS)
        throw new Fault("tpm.invalid", `PCR ${register} does not exist; a number from 0 to ${REGISTERS - 1} was expected`);
      bits[register >>> 3] = (bits[register >>> 3] ?? 0) | (1 << (register & 7));
    }
    return join(u16(hash), u8(SELECT_BYTES), bits);
  });
  return join(u32(items.length), ...items);
}

/** TPML_PCR_SELECTION. (Part 2, table 111) */
export function readPcrSelection(reader: WireReader): readonly PcrSelection[] {
  return reader.list(SELECTION_BYTES_MIN, () => {
    const [hash, size] = [reader.u16(), reader.u8()];
    if (size > SELECT_BYTES_MAX) throw reader.wrong(`a PCR selection of ${size} bytes`);
    const bits = reader.bytes(size);
    const registers = Array.from({ length: size * 8 }, (_, register) => register);
    return { hash, registers: registers.filter((register) => (((bits[register >>> 3] ?? 0) >>> (register & 7)) & 1) === 1) };
  });
}

/**
 * TPM2_PCR_Read, whose answer is a TPML_PCR_SELECTION and a TPML_DIGEST. (Part 3, clause 22.4; Part
 * 2, tables 109 and 111)
 * @returns the registers that it read and their values in that order: at most eight, so ask again
 *   for the rest.
 */
export function pcrRead(
  tpm: Tpm,
  selections: readonly PcrSelection[],
): Promise<{ readonly selections: readonly PcrSelection[]; readonly values: readonly Uint8Array[] }> {
  return tpm.run({ name: "TPM2_PCR_Read", code: COMMAND.pcrRead, parameters: writePcrSelection(selections) }, (reader) => {
    reader.u32();
    const selections = readPcrSelection(reader);
    return { selections, values: reader.list(2, (item) => item.sized()) };
  });
}

/**
 * TPM2_PCR_Extend: a register becomes the hash of its value and `digest`, which is sent as a
 * TPML_DIGEST_VALUES of one. (Part 3, clause 22.2; Part 2, table 110)
 */
export function pcrExtend(tpm: Tpm, register: number, hash: number, digest: Uint8Array): Promise<void> {
  const parameters = join(u32(1), writeDigest(hash, digest));
  const handles = [{ handle: register, name: u32(register) }];
  return tpm.run(
    { name: "TPM2_PCR_Extend", code: COMMAND.pcrExtend, handles, auths: [NO_PASSWORD], parameters },
    () => undefined,
  );
}
