// The escrow of the TPM's passwords: sealed once for the owner, kept, given to the agent, and
// called escrowed when the hub's cosignature is there. [ID-54] [ID-55]
import { createHash } from "node:crypto";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { sha256Schema } from "../../hal/format/fields.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import {
  decodeNote,
  encodeNote,
  type Note,
  type NoteSignature,
  NOTE_BYTES_MAX,
  type Verifier,
  verifyNote,
} from "../audit/format/index.ts";
import {
  type ChipSecrets,
  type EscrowKey,
  type EscrowState,
  escrowNoteText,
  parseEscrowNote,
  sealSecrets,
  verifyEscrowNote,
} from "./format/index.ts";

/** In the warden's state. */
export const ESCROW_FILE = "tpm-escrow.json";
export const ESCROW_FILE_BYTES_MAX = 16_384;

const escrowRecordSchema = v.strictObject({
  v: v.literal(1),
  /** SHA-256 of what is sealed, without its time, and of the key that it is sealed for. */
  of: sha256Schema,
  /** Signed by the warden, and by the hub when it has it. */
  note: v.pipe(v.string(), v.maxLength(NOTE_BYTES_MAX)),
});
type EscrowRecord = v.InferOutput<typeof escrowRecordSchema>;

/** A record that is lost or damaged costs one more note. */
const RECORD: RecordFormat<EscrowRecord> = {
  what: "the escrow record",
  version: 1,
  readable: 1,
  bytesMax: ESCROW_FILE_BYTES_MAX,
  schema: escrowRecordSchema,
  replaceable: true,
};

export interface EscrowOptions {
  readonly files: DurableFiles;
  readonly deviceId: DeviceId;
  /** The owner's key in the image; a Fault when it cannot be used; undefined when there is none. */
  readonly owner: EscrowKey | Fault | undefined;
  /** Signs a text with the audit key. */
  readonly sign: (text: string) => string;
  /** The audit key. */
  readonly verifier: Verifier;
  /** The hub's, which alone says that the hub has a note. */
  readonly witness: Verifier | undefined;
  readonly clock: Pick<Clock, "nowMs">;
}

/** The passwords in force, and what they belong to. */
export type PasswordsInForce = Omit<ChipSecrets, "v" | "deviceId" | "madeAt">;

export interface Escrow {
  /**
   * Seals `secrets` unless they are sealed already. Durable when it resolves. Without a key of the
   * owner's it does nothing.
   * @throws Fault of the files.
   */
  keep(secrets: PasswordsInForce): Promise<void>;
  /** The passwords are not in force any more: nothing is given out. */
  drop(): void;
  /** For the agent, which delivers it. */
  state(): EscrowState;
  /**
   * Takes the hub's cosignature on the note. Durable when it resolves.
   * @throws Fault `escrow.invalid`, `note.bad-signature`; `escrow.refused` for another note.
   */
  confirm(note: string): Promise<void>;
}

export async function openEscrow(options: EscrowOptions): Promise<Escrow> {
  return new KeptEscrow(options, await readOrNone(options.files));
}

async function readOrNone(files: DurableFiles): Promise<EscrowRecord | undefined> {
  try {
    return await readRecord(files, ESCROW_FILE, RECORD);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

class KeptEscrow implements Escrow {
  readonly #options: EscrowOptions;
  readonly #exclusively = createMutex();
  #record: EscrowRecord | undefined;
  /** Whether the record is of the passwords in force. */
  #isInForce = false;

  constructor(options: EscrowOptions, record: EscrowRecord | undefined) {
    this.#options = options;
    this.#record = record;
  }

  keep(secrets: PasswordsInForce): Promise<void> {
    return this.#exclusively(async () => {
      const { owner, deviceId } = this.#options;
      if (owner === undefined || owner instanceof Fault) return;
      const of = createHash("sha256")
        .update(canonicalJson({ ...secrets, deviceId, key: owner.id }))
        .digest("hex");
      if (this.#record?.of !== of || !this.#isSigned(this.#record.note))
        await this.#write({ v: 1, of, note: this.#seal(owner, secrets) });
      this.#isInForce = true;
    });
  }

  drop(): void {
    this.#isInForce = false;
  }

  state(): EscrowState {
    const { owner } = this.#options;
    if (owner instanceof Fault) return { state: "none", why: `the owner's escrow key cannot be used: ${owner.code}` };
    if (owner === undefined) return { state: "none", why: "the image has no escrow key of the owner's" };
    if (this.#record === undefined || !this.#isInForce)
      return { state: "none", why: "the TPM has no passwords of this device's" };
    const note = decodeNote(this.#record.note);
    return {
      state: "sealed",
      note: encodeNote({ ...note, signatures: note.signatures.slice(0, 1) }),
      escrowed: this.#isCosigned(note),
    };
  }

  confirm(cosigned: string): Promise<void> {
    return this.#exclusively(async () => {
      const { witness, verifier } = this.#options;
      if (witness === undefined)
        throw new Fault(
          "note.bad-signature",
          "take a cosigned escrow note: no witness key is configured, so none can be checked",
        );
      const note = decodeNote(cosigned);
      verifyNote(note, verifier);
      verifyNote(note, witness);
      const record = this.#record;
      if (record === undefined || !this.#isInForce || decodeNote(record.note).text !== note.text)
        throw new Fault("escrow.refused", "take a cosigned escrow note: it is not the one that holds the passwords in force");
      if (this.#isCosigned(decodeNote(record.note))) return;
      const signatures = [verifier, witness].flatMap((key) => signatureOf(note, key) ?? []);
      await this.#write({ ...record, note: encodeNote({ ...note, signatures }) });
    });
  }

  async #write(record: EscrowRecord): Promise<void> {
    await writeRecord(this.#options.files, ESCROW_FILE, RECORD, record);
    this.#record = record;
  }

  #seal(owner: EscrowKey, secrets: PasswordsInForce): string {
    const { deviceId, clock, sign } = this.#options;
    // The hub takes only newer ones of one audit key, and the clock may have been set back.
    const madeAt = new Date(Math.max(clock.nowMs(), this.#madeAtMs() + 1)).toISOString();
    const sealed = sealSecrets(owner, { ...secrets, v: 1, deviceId, madeAt });
    return sign(escrowNoteText({ deviceId, madeAt, storage: secrets.storage, sealed }));
  }

  #madeAtMs(): number {
    if (this.#record === undefined) return 0;
    try {
      return Date.parse(parseEscrowNote(this.#record.note).madeAt);
    } catch (error) {
      if (error instanceof Fault) return 0;
      throw error;
    }
  }

  /** False after the audit log was begun anew, with another key. */
  #isSigned(note: string): boolean {
    return isVerified(() => void verifyEscrowNote(note, this.#options.verifier));
  }

  #isCosigned(note: Note): boolean {
    const { witness } = this.#options;
    return witness !== undefined && isVerified(() => void verifyNote(note, witness));
  }
}

function signatureOf({ signatures }: Note, { name, id }: Verifier): NoteSignature | undefined {
  return signatures.find((each) => each.name === name && Buffer.from(each.id).equals(id));
}

function isVerified(verify: () => void): boolean {
  try {
    verify();
    return true;
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}
