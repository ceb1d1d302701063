// The audit witness: takes deliveries, stores every record, cosigns what continues the tree, and
// raises an alert for a log that went back or forked. [AUD-8] [AUD-9]
import type { AuditAnswer, AuditUpload } from "../../agent/tunnel/format.ts";
import { clip } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import {
  appendLeaf,
  cosign,
  decodeNote,
  decodeVerifier,
  encodeNote,
  frontierRoot,
  type Note,
  type Verifier,
} from "../../warden/audit/format/index.ts";
import type { NoteSigner } from "../authority/index.ts";
import type { JournalWriter } from "../journal.ts";
import { AUDIT_LOG_BYTES_MAX, AUDIT_REHASH_RECORDS_MAX } from "../limits.ts";
import type { Change, Store, WitnessedHead } from "../store/index.ts";
import { alarmsIn } from "./alarms.ts";
import { decide, type WitnessRequest, EMPTY_HEAD, type WitnessVerdict } from "./decide.ts";

export type WitnessAnswer = AuditAnswer["body"];

export interface Witnessed {
  /** Send it after the commit. */
  readonly answer: WitnessAnswer;
  /** Stores the delivered records; undefined when there is nothing to store. */
  readonly change: Change | undefined;
}

export interface Witness {
  /**
   * Judges one delivery.
   * @param repeated the message's id was seen before: the transport sent it again, so an older size
   *   is no sign of a rolled-back log.
   * @param journal gets what is wrong with the delivery.
   * @throws Fault `hub.store-failed`.
   */
  receive(deviceId: DeviceId, body: AuditUpload["body"], repeated: boolean, journal: JournalWriter): Promise<Witnessed>;
  /**
   * [ID-55] Cosigns an escrow note that is stored, so that the device's warden need not take the
   * agent's word for it.
   * @param auditKey the device's, which has signed it.
   */
  vouch(note: string, auditKey: string): WitnessAnswer;
}

export function createWitness(store: Store, signer: NoteSigner): Witness {
  return new AuditWitness(store, signer);
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

  constructor(store: Store, signer: NoteSigner) {
    this.#store = store;
    this.#signer = signer;
  }

  async receive(deviceId: DeviceId, body: AuditUpload["body"], repeated: boolean, journal: JournalWriter): Promise<Witnessed> {
    const auditKey = (await this.#store.devices.approved(deviceId))?.auditKey; // [AUD-7]
    if (auditKey === undefined) {
      journal("audit.refused", deviceId, { reason: "no audit key" });
      return refusal("the approved certificate request has no audit key; the device names it when it renews its certificate");
    }
    const log: Log = { deviceId, auditKey, verifier: decodeVerifier(auditKey) };
    const stored = await this.#store.audit.head(deviceId, auditKey);
    const verdict = decide(deviceId, log.verifier, stored ?? EMPTY_HEAD, parseDelivery(body));
    switch (verdict.verdict) {
      case "extends":
        return this.#extend(log, stored, verdict, journal);
      case "same":
        return answered({ answer: "cosigned", checkpoint: this.#cosign(verdict.note, log.verifier) });
      case "conflict":
        return answered({ answer: "conflict", size: verdict.size });
      case "shorter":
        if (!repeated) await this.#alertShorter(log, verdict, body.checkpoint, journal);
        return answered({ answer: "conflict", size: verdict.size });
      case "fork":
        journal("audit.forked", deviceId, {
          size: verdict.checkpoint.size,
          root: hex(verdict.checkpoint.root),
          stored: hex(stored?.root),
          note: Buffer.from(body.checkpoint).toString("base64"),
        });
        return refusal(`the hub has another tree of size ${verdict.checkpoint.size} that this device signed`);
      case "refused":
        journal("audit.refused", deviceId, { reason: verdict.reason });
        return refusal(verdict.reason);
    }
  }

  vouch(note: string, auditKey: string): WitnessAnswer {
    return { answer: "escrowed", note: this.#cosign(decodeNote(note), decodeVerifier(auditKey)) };
  }

  #extend(log: Log, stored: WitnessedHead | undefined, verdict: Verdict<"extends">, journal: JournalWriter): Witnessed {
    const bytes = verdict.records.reduce((sum, { byteLength }) => sum + byteLength, stored?.bytes ?? 0);
    if (bytes > AUDIT_LOG_BYTES_MAX) {
      journal("audit.refused", log.deviceId, { reason: "log full" });
      return refusal(`the hub stores at most ${AUDIT_LOG_BYTES_MAX} bytes of one device's log`);
    }
    const checkpoint = this.#cosign(verdict.note, log.verifier);
    const head = { ...verdict.head, bytes, cosigned: checkpoint, updatedAtMs: Date.now() };
    const change = this.#store.audit.extend(log, stored, verdict.records, head, verdict.passed);
    for (const alarm of alarmsIn(verdict.records)) journal("device.alarm", log.deviceId, alarm);
    return { answer: { answer: "cosigned", checkpoint }, change };
  }

  /** @returns the note with the device's signature and the hub's; other signatures are left out. */
  #cosign({ text, signatures }: Note, verifier: Verifier): string {
    const own = signatures.filter(({ name, id }) => name === verifier.name && Buffer.from(id).equals(verifier.id)).slice(0, 1);
    return encodeNote({ text, signatures: [...own, cosign(text, Math.floor(Date.now() / 1000), this.#signer)] });
  }

  /** [AUD-27] A prefix of the stored log was rolled back or wiped; anything else is a fork. */
  async #alertShorter(
    { deviceId, auditKey }: Log,
    verdict: Verdict<"shorter">,
    note: string,
    journal: JournalWriter,
  ): Promise<void> {
    const { size, root } = verdict.checkpoint;
    const prefix = await this.#rootAt(deviceId, auditKey, size);
    const forked = prefix !== undefined && !Buffer.from(prefix).equals(root);
    const state = prefix === undefined ? "not compared" : forked ? "another history" : "a prefix of ours";
    journal(forked ? "audit.forked" : "audit.rolled-back", deviceId, {
      size,
      hubSize: verdict.size,
      state,
      root: hex(root),
      note: Buffer.from(note).toString("base64"),
    });
  }

  /** @returns undefined when too many records would have to be hashed, or one is missing. */
  async #rootAt(deviceId: DeviceId, auditKey: string, size: number): Promise<Uint8Array | undefined> {
    const { audit } = this.#store;
    const near = await audit.frontier(deviceId, auditKey, size);
    const count = size - near.size;
    if (count > AUDIT_REHASH_RECORDS_MAX) return undefined;
    const records = count === 0 ? [] : await audit.records(deviceId, auditKey, near.size, count);
    if (records.length !== count) return undefined;
    return frontierRoot(records.reduce((frontier, { leaf }) => appendLeaf(frontier, leaf), near));
  }
}

function refusal(reason: string): Witnessed {
  return answered({ answer: "refused", reason: clip(reason, REASON_CHARACTERS_MAX) });
}

function answered(answer: WitnessAnswer): Witnessed {
  return { answer, change: undefined };
}

function parseDelivery(body: AuditUpload["body"]): WitnessRequest {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
  const { oldSize, checkpoint, proof, records } = body;
  return { oldSize, checkpoint, proof: proof.map((hash) => bytes(hash)), records: records.map((record) => bytes(record)) };
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("hex");
}
