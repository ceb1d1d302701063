// The escrow note: a sealed text, signed by the warden with its audit key, as a C2SP signed note.
// The agent that carries it can neither make one nor change one, so a captured agent cannot push
// the good one out of the hub. [ID-55]
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { type DeviceId, deviceIdSchema, tpmNameSchema } from "../../../hal/format/identity.ts";
import { shortTextSchema } from "../../../hal/format/fields.ts";
import { check } from "../../../hal/format/schema.ts";
import { decodeNote, type Verifier, verifyNote } from "../../audit/format/index.ts";
import { SEALED_PATTERN, sealedKeyId } from "./jwe.ts";
import { ESCROW_NOTE_BYTES_MAX } from "./limits.ts";

export const escrowNoteSchema = v.pipe(v.string(), v.maxLength(ESCROW_NOTE_BYTES_MAX));

/** What the warden has for the hub. */
export const escrowStateSchema = v.variant("state", [
  v.strictObject({ state: v.literal("none"), why: shortTextSchema }),
  v.strictObject({
    state: v.literal("sealed"),
    note: escrowNoteSchema,
    /** Whether the warden has the hub's cosignature on this note. */
    escrowed: v.boolean(),
  }),
]);
export type EscrowState = v.InferOutput<typeof escrowStateSchema>;

export interface EscrowNote {
  readonly deviceId: DeviceId;
  /**
   * By the device's clock, which may have been wrong. Later notes of one audit key have a later
   * one.
   */
  readonly madeAt: string;
  /** Name of the chip's storage root. */
  readonly storage: string;
  /** JWE in compact form. */
  readonly sealed: string;
}

const linesSchema = v.strictTuple([
  v.pipe(
    v.string(),
    v.startsWith("sallyport/escrow/1/"),
    v.transform((line) => line.slice("sallyport/escrow/1/".length)),
    deviceIdSchema,
  ),
  v.pipe(
    v.string(),
    v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u, "expected a time"),
    v.check((time) => Number.isFinite(Date.parse(time)), "expected a time that exists"),
  ),
  tpmNameSchema,
  v.pipe(v.string(), v.regex(SEALED_PATTERN, "expected a JWE in compact form")),
  v.literal(""),
]);

/**
 * The text that is signed. Its first line keeps it apart from a checkpoint of the audit log, which
 * the same key signs: that begins with the log's name, and its second line is a number. [AUD-6]
 */
export function escrowNoteText({ deviceId, madeAt, storage, sealed }: EscrowNote): string {
  return `sallyport/escrow/1/${deviceId}\n${madeAt}\n${storage}\n${sealed}\n`;
}

/** @throws Fault `escrow.invalid`. Does not check the signature: see {@link verifyEscrowNote}. */
export function parseEscrowNote(encoded: string): EscrowNote {
  if (Buffer.byteLength(encoded) > ESCROW_NOTE_BYTES_MAX)
    throw new Fault("escrow.invalid", `an escrow note has at most ${ESCROW_NOTE_BYTES_MAX} bytes`);
  try {
    const { text } = decodeNote(encoded);
    const [deviceId, madeAt, storage, sealed] = check(linesSchema, text.split("\n"), "the escrow note");
    sealedKeyId(sealed);
    return { deviceId, madeAt, storage, sealed };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw error.code === "escrow.invalid" ? error : new Fault("escrow.invalid", error.message, { cause: error });
  }
}

/** @throws Fault `escrow.invalid`; `note.bad-signature` when `verifier` did not sign it. */
export function verifyEscrowNote(encoded: string, verifier: Verifier): EscrowNote {
  const note = parseEscrowNote(encoded);
  verifyNote(decodeNote(encoded), verifier);
  return note;
}
