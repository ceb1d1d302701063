// Names of the audit log's files. An epoch is one log with files, a key and a tree of its own. A
// tampered log is left unchanged, and the next epoch begins.

/**
 * Records in a segment and hashes in a tile: the tile width of c2sp.org/tlog-tiles, so that a
 * closed segment is a full tile.
 */
export const SEGMENT_RECORDS = 256;

/** Numbers are padded to this many digits, so that names sort as numbers do. */
const NUMBER_DIGITS = 10;

export type AuditFile =
  | { readonly kind: "segment"; readonly epoch: number; readonly number: number }
  | { readonly kind: "tile"; readonly epoch: number; readonly level: number; readonly number: number };

export function segmentName(epoch: number, segment: number): string {
  return `segment-${epoch}-${padded(segment)}`;
}

/**
 * The name of tile `number` of `level` (c2sp.org/tlog-tiles). Entry i is the root of tile i of the
 * level below; on level 0 it is a leaf hash.
 */
export function tileName(epoch: number, level: number, number: number): string {
  return `tile-${epoch}-${level}-${padded(number)}`;
}

/** The checkpoint that the hub cosigned last, as a signed note. */
export function witnessedName(epoch: number): string {
  return stateName("witnessed", epoch, "note");
}

/** The checkpoint signed at the last orderly close: the log never gets shorter than that. */
export function closedName(epoch: number): string {
  return stateName("audit-closed", epoch, "note");
}

export function auditKeyName(epoch: number): string {
  return stateName("audit-key", epoch, "pem");
}

/** @returns what `name` names, or undefined when it is not the name of a log file. */
export function parseAuditFile(name: string): AuditFile | undefined {
  const match = /^(?:segment|tile)-(0|[1-9]\d{0,5})(?:-([0-6]))?-(\d{10})$/.exec(name);
  if (match === null) return undefined;
  const [, epoch, level, number] = match;
  const file: AuditFile =
    level === undefined
      ? { kind: "segment", epoch: Number(epoch), number: Number(number) }
      : { kind: "tile", epoch: Number(epoch), level: Number(level), number: Number(number) };
  return auditFileName(file) === name ? file : undefined;
}

export function auditFileName(file: AuditFile): string {
  return file.kind === "segment" ? segmentName(file.epoch, file.number) : tileName(file.epoch, file.level, file.number);
}

function padded(number: number): string {
  return String(number).padStart(NUMBER_DIGITS, "0");
}

function stateName(stem: string, epoch: number, suffix: string): string {
  return epoch === 0 ? `${stem}.${suffix}` : `${stem}-${epoch}.${suffix}`;
}
