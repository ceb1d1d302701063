// A small audit log as files, really signed: what a warden writes and a hub cosigns.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  checkpointOrigin,
  cosign,
  ed25519Raw,
  EMPTY_FRONTIER,
  encodeAuditRecord,
  encodeCheckpoint,
  encodeFrame,
  encodeNote,
  encodeSegmentHeader,
  encodeVerifier,
  leafHash,
  type NoteKeyKind,
  rootOf,
  segmentName,
  signNote,
  type Verifier,
  verifierOf,
} from "../../../warden/audit/format/index.ts";
import { recordOf } from "./operations.ts";

export interface NoteKey {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

export function noteKey(name: string, kind: NoteKeyKind): NoteKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { verifier: verifierOf(name, kind, ed25519Raw(publicKey)), privateKey };
}

export interface SmallTrail {
  readonly key: NoteKey;
  readonly witness: NoteKey;
  /** Verifier keys as people pass them on. */
  readonly vkey: string;
  readonly witnessVkey: string;
  readonly segmentName: string;
  readonly segment: Buffer;
  /** The offset of record `n` in the segment. */
  readonly offsets: readonly number[];
  /**
   * A checkpoint of the first `size` records, signed by the device and, when `witness` is given,
   * cosigned.
   */
  note(size: number, witness?: NoteKey): string;
}

/** One segment with `count` records. */
export function smallTrail(deviceId: string, count: number): SmallTrail {
  const origin = checkpointOrigin(deviceId);
  const key = noteKey(origin, "ed25519");
  const witness = noteKey("sallyport-hub/test", "cosignature/v1");
  const records = Array.from({ length: count }, (_, seq) => encodeAuditRecord(recordOf(seq)));
  const keyId = Buffer.from(key.verifier.id).toString("hex");
  const frames = [
    encodeSegmentHeader({ epoch: 0, deviceId, keyId, segment: 0, before: EMPTY_FRONTIER }),
    ...records.map((record) => encodeFrame(record)),
  ];
  let end = 0;
  const ends = frames.map((frame) => (end += frame.byteLength));
  return {
    key,
    witness,
    vkey: encodeVerifier(key.verifier),
    witnessVkey: encodeVerifier(witness.verifier),
    segmentName: segmentName(0, 0),
    segment: Buffer.concat(frames),
    offsets: ends.slice(0, -1),
    note(size, cosigner) {
      const root = rootOf(records.slice(0, size).map((record) => leafHash(record)));
      const text = encodeCheckpoint({ origin, size, root });
      const signatures = [signNote(text, key), ...(cosigner === undefined ? [] : [cosign(text, 1_795_000_000, cosigner)])];
      return encodeNote({ text, signatures });
    },
  };
}
