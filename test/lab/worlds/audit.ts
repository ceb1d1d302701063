// An audit log on files in memory, and a witness that really checks and signs.
import { generateKeyPairSync } from "node:crypto";
import type { AppendFiles, DurableFiles } from "../../../hal/ports.ts";
import {
  type AuditEntry,
  type AuditRecord,
  cosign,
  decodeAuditRecord,
  decodeVerifier,
  ed25519Raw,
  EMPTY_FRONTIER,
  encodeNote,
  type Frontier,
  type TrailFiles,
  verifierOf,
  verifyDelivery,
  type Verifier,
} from "../../../warden/audit/format/index.ts";
import { type AuditLimits, type AuditLog, openAuditLog } from "../../../warden/audit/index.ts";
import { fakeAppendFiles, type FakeAppendFiles, fakeFiles, type FakeFiles } from "../fakes/files.ts";

export const DEVICE_ID = "gw-0001";
export const BOOT_ID = "3f0c6d0e-8f5e-4c8e-9f6a-0f5b6d1f2a3b";

export interface AuditDisk {
  readonly files: FakeAppendFiles;
  readonly state: FakeFiles;
}

export function auditDisk(): AuditDisk {
  return { files: fakeAppendFiles(), state: fakeFiles() };
}

/** Copies a disk, so that a test can damage one and keep the other. */
export function copyDisk(disk: AuditDisk): AuditDisk {
  const copy = auditDisk();
  for (const [name, bytes] of disk.files.contents) copy.files.contents.set(name, Uint8Array.from(bytes));
  for (const [name, bytes] of disk.state.contents) copy.state.contents.set(name, Uint8Array.from(bytes));
  return copy;
}

export function fixedClock(): { nowMs(): number; monotonicMs(): number; sleep(): Promise<void> } {
  let passedMs = 0;
  return { nowMs: () => Date.UTC(2026, 10, 22) + passedMs, monotonicMs: () => (passedMs += 1), sleep: async () => undefined };
}

/**
 * Room for two or three records, so that small logs, too, end in zeros and get new ones, and a test
 * can change each byte of them.
 */
export const LAB_RESERVE_BYTES = 700;

export interface OpenOptions {
  readonly witness?: Verifier;
  readonly limits?: Partial<AuditLimits>;
  readonly deviceId?: string;
}

export async function openOn(
  disk: { readonly files: AppendFiles; readonly state: DurableFiles },
  options: OpenOptions = {},
): Promise<AuditLog> {
  const { witness, deviceId = DEVICE_ID } = options;
  const limits = { reserveBytes: LAB_RESERVE_BYTES, ...options.limits };
  const common = { ...disk, clock: fixedClock(), bootId: BOOT_ID, deviceId, clockSynced: () => false };
  return await openAuditLog({ ...common, witness, limits });
}

/** An ordinary event, recognisable by `mark`. */
export function entryOf(mark: number): AuditEntry {
  return { event: "tunnel.connected", result: "ok", detail: { mark } };
}

export async function appendMany(log: AuditLog, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => log.append(entryOf(i))));
}

/** The records of a log, oldest first. */
export async function eventsOf(log: AuditLog, from = 0): Promise<readonly AuditRecord[]> {
  const events: AuditRecord[] = [];
  while (from + events.length < log.head.size)
    events.push(...(await log.read(from + events.length, 256)).map((record) => decodeAuditRecord(record)));
  return events;
}

export interface TestWitness {
  readonly verifier: Verifier;
  /** The records that it has seen. */
  readonly tree: Frontier;
  /** Fetches what is new, checks it as the hub does, and returns the cosignature to the log. */
  witness(log: AuditLog, size?: number): Promise<string>;
}

export function testWitness(): TestWitness {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const verifier = verifierOf("hub.example/witness", "cosignature/v1", ed25519Raw(publicKey));
  let tree: Frontier = EMPTY_FRONTIER;
  return {
    verifier,
    get tree() {
      return tree;
    },
    witness: async (log, size) => {
      const asked = await log.checkpoint(tree.size, size);
      const records: Uint8Array[] = [];
      while (tree.size + records.length < asked.size)
        records.push(...(await log.read(tree.size + records.length, asked.size - tree.size - records.length)));
      const delivery = { oldSize: tree.size, checkpoint: asked.checkpoint, proof: asked.proof, records };
      const { note, tree: grown } = verifyDelivery(tree, delivery, decodeVerifier(log.auditKey));
      const cosigned = encodeNote({
        text: note.text,
        signatures: [...note.signatures, cosign(note.text, 1_795_334_400, { verifier, privateKey })],
      });
      await log.cosigned(cosigned);
      tree = grown;
      return cosigned;
    },
  };
}

export function trailOf(disk: AuditDisk): TrailFiles {
  return { names: [...disk.files.contents.keys()], read: (name) => disk.files.contents.get(name) };
}
