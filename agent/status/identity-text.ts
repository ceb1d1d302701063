// Who the device is and what keeps its key: the view, and the same as text for people. Pure, ASCII.
// [ID-74] [CON-11]
import type { FaultReport } from "../../hal/format/fault.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import type { ReadResult } from "./compose.ts";
import { certificateRows, enrolmentRows, SOURCES } from "./identity-rows.ts";
import type { DeviceStatus, IdentityView } from "./format.ts";
import { keyFaultOf, keyWords, tpmRow, whereText } from "./key-text.ts";
import { counted } from "./units.ts";
import { printed, row } from "./rows.ts";
import { printable } from "../../hal/format/text.ts";

const UNKNOWN_CHARACTERS_MAX = 512;

/**
 * @param answer of the warden, or why there is none. What only the warden knows is listed as
 *   unknown then, because absent would be read as "not there".
 * @param details of the TPM, where the warden gave them; the status has the short form.
 */
export function identityViewOf(
  status: DeviceStatus,
  answer: ReadResult<WardenResult<"identity.read">>,
  details?: WardenResult<"tpm.read">,
): IdentityView {
  const { at, device, key, lockdown, certificate, enrolment, auditKey } = status;
  const tpm = status.tpm && (details ?? status.tpm);
  const fault = key === undefined ? keyFaultOf(status) : undefined;
  const told = "value" in answer ? answer.value : undefined;
  const boardSerial = told?.identity.boardSerial;
  return {
    v: 1,
    at,
    ...(device && { device: { ...device, ...(boardSerial !== undefined && { boardSerial }) } }),
    ...(key && { key }),
    ...(fault && { keyFault: fault }),
    ...(told?.birth && { birth: told.birth }),
    ...(tpm && { tpm }),
    ...(lockdown?.held !== undefined && { held: lockdown.held }),
    ...(certificate && { certificate }),
    ...(enrolment && { enrolment }),
    ...(auditKey !== undefined && { auditKey }),
    unknown: "fault" in answer ? [unknownBecause(answer.fault)] : lockdown === undefined ? [NO_STATUS] : [],
  };
}

const ONLY_THE_WARDEN = "the warden does not answer, so neither the TPM nor the audit key is known here";
const NO_STATUS = `${ONLY_THE_WARDEN}; ask again`;

function unknownBecause({ code, message }: FaultReport): string {
  return printable(`birth record, TPM and audit key: ${code}: ${message}`, UNKNOWN_CHARACTERS_MAX);
}

/** Whether everything that the view shows is as it should be: the exit code for scripts. */
export function isIdentitySound({ keyFault, held, unknown }: IdentityView): boolean {
  return keyFault === undefined && held === undefined && unknown.length === 0;
}

/** @returns lines of 79 columns, without a bound of lines. */
export function renderIdentity(view: IdentityView): string {
  const { device, enrolment, auditKey, unknown } = view;
  const board = device?.boardSerial === undefined ? undefined : `board serial ${device.boardSerial}`;
  return printed([
    device === undefined
      ? row("device", "not known yet")
      : row("device", `${device.id} (${SOURCES[device.source]})`, device.model, board),
    ...keyLines(view),
    ...birthLines(view),
    ...chipLines(view),
    ...certificateRows(view),
    ...enrolmentRows(enrolment),
    ...(auditKey === undefined ? [] : [row("audit", "the warden signs the trail with this key"), row("", auditKey)]),
    ...unknown.map((text) => row("unknown", text)),
  ]);
}

function keyLines({ key, keyFault, birth, unknown }: IdentityView): string[] {
  if (key !== undefined) {
    const where = whereText(key.protection);
    return [row("key", key.note === undefined ? where : `${where}: ${key.note}`), row("", key.fingerprint)];
  }
  if (keyFault !== undefined)
    return [
      row("key", `NOT USABLE: ${keyWords(keyFault.code) ?? keyFault.code}`),
      row("", `${keyFault.code}: ${keyFault.message}`),
    ];
  return [row("key", birth === undefined && unknown.length === 0 ? "none yet" : "not loaded yet")];
}

function birthLines({ birth, key, unknown }: IdentityView): string[] {
  if (birth === undefined) return unknown.length > 0 ? [] : [row("birth", "not recorded yet")];
  const isSame = key?.fingerprint === birth.keyFingerprint;
  return [
    row("birth", `as ${birth.id} (${SOURCES[birth.source]})`, `key ${whereText(birth.protection)}`),
    row("", isSame ? "with the key above" : birth.keyFingerprint),
  ];
}

/** The Names that the device was born with, and those of now where they differ. */
function chipLines({ birth, tpm, held }: IdentityView): string[] {
  const born = birth?.chip;
  const names = (label: string, was: string | undefined, is: string | undefined): string[] => [
    ...((was ?? is) === undefined ? [] : [row(label, was ?? is)]),
    ...(was === undefined || is === undefined || was === is ? [] : [row("", "ANOTHER one now:"), row("", is)]),
  ];
  return [
    ...(tpm === undefined ? [] : [tpmRow(tpm)]),
    ...(tpm?.why === undefined ? [] : [row("", tpm.why)]),
    ...(tpm?.failures === undefined || tpm.failures === 0
      ? []
      : [row("", `${counted(tpm.failures, "wrong password")} of others`)]),
    ...names("srk", born?.storage, tpm?.storage),
    ...names("ek", born?.endorsement, tpm?.endorsement),
    ...(held === undefined ? [] : [row("doors", `SHUT: ${keyWords(held) ?? held}`)]),
  ];
}
