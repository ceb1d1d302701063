// The audit witness: takes deliveries, keeps every record, cosigns what continues the tree, and raises an alert for a log that went back. [AUD-8] [AUD-9]
import type { AuditAnswer, AuditUpload } from "../../agent/tunnel/format.ts";
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
import type { JournalWriter as JournalNote } from "../journal.ts";
import { AUDIT_LOG_BYTES_MAX, AUDIT_REHASH_RECORDS_MAX } from "../limits.ts";
import type { Store } from "../store/index.ts";
import { decide, type WitnessRequest, EMPTY_HEAD, type WitnessVerdict } from "./decide.ts";

export { type Verification, verifyLog } from "./verify.ts";

export type WitnessAnswer = AuditAnswer["body"];

export interface Witness {
  /**
   * Judges one delivery and stores what it brings; call in a transaction, and send the answer when that is committed.
   * @param again the message's id was seen before: sent again by the transport, so an older size is no sign of a rolled-back log.
   */
  receive(deviceId: DeviceId, body: AuditUpload["body"], again: boolean): WitnessAnswer;
}

export function openWitness(store: Store, signer: NoteSigner, journal: JournalNote): Witness {
  /** The device's signature and ours; what others may have signed is left out. */
  const cosigned = ({ text, signatures }: Note, verifier: Verifier): string => {
    const own = signatures.filter(({ name, id }) => name === verifier.name && Buffer.from(id).equals(verifier.id)).slice(0, 1);
    return encodeNote({ text, signatures: [...own, cosign(text, Math.floor(Date.now() / 1000), signer)] });
  };

  return {
    receive: (deviceId, body, again) => {
      const auditKey = store.devices.approved(deviceId)?.auditKey; // [AUD-7]
      if (auditKey === undefined) {
        journal("audit.refused", deviceId, { reason: "no audit key" });
        return {
          answer: "refused",
          reason: "the approved certificate request names no audit key; the device names it when it renews its certificate",
        };
      }
      const verifier = decodeVerifier(auditKey);
      const stored = store.audit.head(deviceId, auditKey);
      const verdict = decide(deviceId, verifier, stored ?? EMPTY_HEAD, parsed(body));
      switch (verdict.verdict) {
        case "extends": {
          const bytes = verdict.records.reduce((sum, { byteLength }) => sum + byteLength, stored?.bytes ?? 0);
          if (bytes > AUDIT_LOG_BYTES_MAX) {
            journal("audit.refused", deviceId, { reason: "log full" });
            return { answer: "refused", reason: `the hub keeps at most ${AUDIT_LOG_BYTES_MAX} bytes of one device's log` };
          }
          const checkpoint = cosigned(verdict.note, verifier);
          const head = { ...verdict.head, bytes, cosigned: checkpoint, updatedAtMs: Date.now() };
          store.audit.extend(deviceId, auditKey, verdict.records, head, verdict.passed);
          return { answer: "cosigned", checkpoint };
        }
        case "same":
          return { answer: "cosigned", checkpoint: cosigned(verdict.note, verifier) };
        case "conflict":
          return { answer: "conflict", size: verdict.size };
        case "shorter":
          if (!again) alertShorter(deviceId, auditKey, verdict, body.checkpoint);
          return { answer: "conflict", size: verdict.size };
        case "fork":
          journal("audit.forked", deviceId, {
            size: verdict.checkpoint.size,
            root: hex(verdict.checkpoint.root),
            stored: hex(stored?.root),
            note: Buffer.from(body.checkpoint).toString("base64"),
          });
          return {
            answer: "refused",
            reason: `the hub has another tree of size ${verdict.checkpoint.size} signed by this device`,
          };
        case "refused":
          journal("audit.refused", deviceId, { reason: verdict.reason });
          return { answer: "refused", reason: verdict.reason.slice(0, 512) };
      }
    },
  };

  /** [AUD-9] A prefix of what we have was rolled back or wiped; anything else is a second history. */
  function alertShorter(
    deviceId: DeviceId,
    auditKey: string,
    verdict: Extract<WitnessVerdict, { verdict: "shorter" }>,
    note: string,
  ): void {
    const { size, root } = verdict.checkpoint;
    const prefix = rootAt(deviceId, auditKey, size);
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

  /** @returns undefined when too much would have to be hashed, or a record is missing. */
  function rootAt(deviceId: DeviceId, auditKey: string, size: number): Uint8Array | undefined {
    const near = store.audit.frontier(deviceId, auditKey, size);
    const count = size - near.size;
    if (count > AUDIT_REHASH_RECORDS_MAX) return undefined;
    const records = count === 0 ? [] : store.audit.records(deviceId, auditKey, near.size, count);
    if (records.length !== count) return undefined;
    return frontierRoot(records.reduce((grown, { leaf }) => appendLeaf(grown, leaf), near));
  }
}

function parsed(body: AuditUpload["body"]): WitnessRequest {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "base64");
  const { oldSize, checkpoint, proof, records } = body;
  return { oldSize, checkpoint, proof: proof.map((hash) => bytes(hash)), records: records.map((record) => bytes(record)) };
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("hex");
}
