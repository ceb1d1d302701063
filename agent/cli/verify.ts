// The offline verification of an audit log: which files are read, which checkpoints must hold, and
// what the verdict means. Pure except for the directory it reads. [AUD-8] [AUD-22]
import { Fault } from "../../hal/fault.ts";
import {
  closedName,
  decodeCheckpoint,
  decodeNote,
  describeTrail,
  HASH_BYTES,
  NOTE_BYTES_MAX,
  parseAuditFile,
  SEGMENT_BYTES_MAX,
  SEGMENT_RECORDS,
  type TrailReport,
  type Verifier,
  verifyNote,
  verifyTrail,
  witnessedName,
} from "../../warden/audit/format/index.ts";
import { counted, serialJson, serialText } from "../status/index.ts";
import type { VerifyInvocation } from "./arguments.ts";

/** A log of 1 GiB has some thousand segments and tiles. */
export const LOG_NAMES_MAX = 65_536;

/**
 * A directory from an untrusted source. Names are sorted; reads are bounded and take regular files
 * only.
 */
export interface Directory {
  names(): readonly string[];
  /** @returns undefined when there is no such file. @throws Fault `file.*`. */
  read(name: string, bytesMax: number): Uint8Array | undefined;
}

export interface Evidence {
  /** Segments and tiles. */
  readonly log: Directory;
  /** Checkpoints the device kept. */
  readonly state: Directory;
  /** Checkpoints from other sources, such as the hub. */
  readonly checkpoints: readonly string[];
}

export interface VerifyResult {
  readonly verified: boolean;
  readonly text: string;
  readonly json: string;
}

/**
 * Verified means that the log is whole and that a signed checkpoint vouches for entries of it, with
 * `--witness` one that the witness cosigned. A log without any proof of its past is not verified:
 * an attacker who rewrote it would have removed the checkpoints.
 * @throws Fault `note.invalid`, `note.bad-signature` for checkpoints that are not of this log;
 *   `file.*`.
 */
export function verify(invocation: VerifyInvocation, evidence: Evidence): VerifyResult {
  const { key: auditKey, witness } = invocation;
  const names = evidence.log.names();
  if (names.length > LOG_NAMES_MAX)
    throw new Fault("file.too-large", `"${invocation.directory}" holds more than ${LOG_NAMES_MAX} files, which no log has`);
  const epoch = invocation.epoch ?? lastEpoch(names);
  if (epoch === undefined)
    throw new Fault(
      "file.not-regular",
      `"${invocation.directory}" holds no segment of an audit log; is it the warden's state directory?`,
    );
  const own = noteIn(evidence.state, witnessedName(epoch));
  const vouching = [...own, ...evidence.checkpoints];
  const witnessed = witness === undefined ? undefined : witnessedSize(vouching, witness);
  const read = (name: string): Uint8Array | undefined => evidence.log.read(name, bytesMaxOf(name));
  const checkpoints = [...vouching, ...noteIn(evidence.state, closedName(epoch))];
  const trail = verifyTrail({ files: { names, read }, auditKey, checkpoints, epoch });
  return verdictOn(trail, witnessed);
}

function lastEpoch(names: readonly string[]): number | undefined {
  const epochs = names.map((name) => parseAuditFile(name)).flatMap((file) => (file?.kind === "segment" ? [file.epoch] : []));
  return epochs.reduce<number | undefined>((last, epoch) => Math.max(last ?? 0, epoch), undefined);
}

function noteIn(state: Directory, name: string): readonly string[] {
  const bytes = state.read(name, NOTE_BYTES_MAX);
  return bytes === undefined ? [] : [Buffer.from(bytes).toString("utf8")];
}

/**
 * @returns the largest size that the witness cosigned.
 * @throws Fault `note.bad-signature` for a checkpoint that it did not cosign. [AUD-8]
 */
function witnessedSize(notes: readonly string[], witness: Verifier): number {
  const opened = notes.map((encoded) => decodeNote(encoded));
  for (const note of opened) verifyNote(note, witness);
  return Math.max(0, ...opened.map((note) => decodeCheckpoint(note.text).size));
}

function bytesMaxOf(name: string): number {
  return parseAuditFile(name)?.kind === "tile" ? SEGMENT_RECORDS * HASH_BYTES : SEGMENT_BYTES_MAX;
}

function verdictOn(trail: TrailReport, witnessed: number | undefined): VerifyResult {
  const vouched = trail.vouched > 0 && witnessed !== 0;
  const lines = [describeTrail(trail)];
  if (trail.finding === undefined && witnessed !== undefined)
    lines.push(`the witness has seen the first ${counted(witnessed, "entry", "entries")}`);
  if (trail.finding === undefined && !vouched) lines.push(UNPROVEN);
  const verified = trail.finding === undefined && vouched;
  return {
    verified,
    text: lines.map((line) => `${serialText(line)}\n`).join(""),
    json: `${serialJson({ v: 1, verified, ...trail, witnessed })}\n`,
  };
}

const UNPROVEN =
  "NOT VERIFIED: no signed checkpoint vouches for this log; fetch the hub's last one for this device and pass it with --checkpoint";
