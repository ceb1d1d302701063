// The audit witness: takes deliveries, stores every record, cosigns what continues the tree, and
// raises an alert for a log that went back or forked. [AUD-8] [AUD-9]
import type { AuditAnswer, AuditUpload } from "../../agent/tunnel/format.ts";
import { clip } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import {
  appendLeaf,
  cosign,
  decodeVerifier,
  encodeNote,
  frontierRoot,
  type Note,
  type Verifier,
} from "../../warden/audit/format/index.ts";
import type { NoteSigner } from "../authority/index.ts";
import type { JournalWriter } from "../journal.ts";
import { AUDIT_LOG_BYTES_MAX, AUDIT_REHASH_RECORDS_MAX } from "../limits.ts";
import type { Store } from "../store/index.ts";
import { decide, type WitnessRequest, EMPTY_HEAD, type WitnessVerdict } from "./decide.ts";

export type WitnessAnswer = AuditAnswer["body"];

export interface Witness {
  /**
   * Judges one delivery and stores its records. Call it in a transaction, and send the answer after
   * the commit.
   * @param repeated the message's id was seen before: the transport sent it again, so an older size
   *   is no sign of a rolled-back log.
   */
  receive(deviceId: DeviceId, body: AuditUpload["body"], repeated: boolean): WitnessAnswer;
}

export function createWitness(store: Store, signer: NoteSigner, journal: JournalWriter): Witness {
  return new AuditWitness(store, signer, journal);
}

/** The log that a delivery belongs to. */
interface Log {
  readonly deviceId: DeviceId;
  readonly auditKey: string;
  readonly verifier: Verifier;
}

type Verdict<K extends WitnessVerdict["verdict"]> = Extract<WitnessVerdict, { verdict: K }>;

const REASON_CHARACTERS_MAX = 512;

class AuditWitness implements Witness {
  readonly #store: Store;
  readonly #signer: NoteSigner;
  readonly #journal: JournalWriter;

  constructor(store: Store, signer: NoteSigner, journal: JournalWriter) {
    this.#store = store;
    this.#signer = signer;
    this.#journal = journal;
  }

  receive(deviceId: DeviceId, body: AuditUpload["body"], repeated: boolean): WitnessAnswer {
    const auditKey = this.#store.devices.approved(deviceId)?.auditKey; // [AUD-7]
    if (auditKey === undefined) {
      this.#journal("audit.refused", deviceId, { reason: "no audit key" });
      return refusal("the approved certificate request has no audit key; the device names it when it renews its certificate");
    }
    const log: Log = { deviceId, auditKey, verifier: decodeVerifier(auditKey) };
    const stored = this.#store.audit.head(deviceId, auditKey);
    const verdict = decide(deviceId, log.verifier, stored ?? EMPTY_HEAD, parseDelivery(body));
    switch (verdict.verdict) {
      case "extends":
        return this.#extend(log, stored?.bytes ?? 0, verdict);
      case "same":
        return { answer: "cosigned", checkpoint: this.#cosign(verdict.note, log.verifier) };
      case "conflict":
        return { answer: "conflict", size: verdict.size };
      case "shorter":
        if (!repeated) this.#alertShorter(log, verdict, body.checkpoint);
        return { answer: "conflict", size: verdict.size };
      case "fork":
        this.#journal("audit.forked", deviceId, {
          size: verdict.checkpoint.size,
          root: hex(verdict.checkpoint.root),
          stored: hex(stored?.root),
          note: Buffer.from(body.checkpoint).toString("base64"),
        });
        return refusal(`the hub has another tree of size ${verdict.checkpoint.size} that this device signed`);
      case "refused":
        this.#journal("audit.refused", deviceId, { reason: verdict.reason });
        return refusal(verdict.reason);
    }
  }

  #extend({ deviceId, auditKey, verifier }: Log, storedBytes: number, verdict: Verdict<"extends">): WitnessAnswer {
    const bytes = verdict.records.reduce((sum, { byteLength }) => sum + byteLength, storedBytes);
    if (bytes > AUDIT_LOG_BYTES_MAX) {
      this.#journal("audit.refused", deviceId, { reason: "log full" });
      return refusal(`the hub stores at most ${AUDIT_LOG_BYTES_MAX} bytes of one device's log`);
    }
    const checkpoint = this.#cosign(verdict.note, verifier);
    const head = { ...verdict.head, bytes, cosigned: checkpoint, updatedAtMs: Date.now() };
    this.#store.audit.extend(deviceId, auditKey, verdict.records, head, verdict.passed);
    return { answer: "cosigned", checkpoint };
  }

  /** @returns the note with the device's signature and the hub's; other signatures are left out. */
  #cosign({ text, signatures }: Note, verifier: Verifier): string {
    const own = signatures.filter(({ name, id }) => name === verifier.name && Buffer.from(id).equals(verifier.id)).slice(0, 1);
    return encodeNote({ text, signatures: [...own, cosign(text, Math.floor(Date.now() / 1000), this.#signer)] });
  }

  /** [AUD-27] A prefix of the stored log was rolled back or wiped; anything else is a fork. */
  #alertShorter({ deviceId, auditKey }: Log, verdict: Verdict<"shorter">, note: string): void {
    const { size, root } = verdict.checkpoint;
    const prefix = this.#rootAt(deviceId, auditKey, size);
    const forked = prefix !== undefined && !Buffer.from(prefix).equals(root);
    const state = prefix === undefined ? "not compared" : forked ? "another history" : "a prefix of ours";
    this.#journal(forked ? "audit.forked" : "audit.rolled-back", deviceId, {
      size,
      hubSize: verdict.size,
      state,
      root: hex(root),
      note: Buffer.from(note).toString("base64"),
    });
  }

  /** @returns undefined when too many records would have to be hashed, or one is missing. */
  #rootAt(deviceId: DeviceId, auditKey: string, size: number): Uint8Array | undefined {
    const { audit } = this.#store;
    const near = audit.frontier(deviceId, auditKey, size);
    const count = size - near.size;
    if (count > AUDIT_REHASH_RECORDS_MAX) return undefined;
    const records = count === 0 ? [] : audit.records(deviceId, auditKey, near.size, count);
    if (records.length !== count) return undefined;
    return frontierRoot(records.reduce((frontier, { leaf }) => appendLeaf(frontier, leaf), near));
  }
}

function refusal(reason: string): WitnessAnswer {
  return { answer: "refused", reason: clip(reason, REASON_CHARACTERS_MAX) };
}

function parseDelivery(body: AuditUpload["body"]): WitnessRequest {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
  const { oldSize, checkpoint, proof, records } = body;
  return { oldSize, checkpoint, proof: proof.map((hash) => bytes(hash)), records: records.map((record) => bytes(record)) };
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("hex");
}
