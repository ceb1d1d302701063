// The device's key and its TPM as text for people. Pure, ASCII. [CON-11] [ID-73] [ID-74]
import { FAULT_CODES, type FaultCode } from "../../hal/fault.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { Protection } from "../../hal/format/identity.ts";
import type { TpmState } from "../../warden/tpm/format.ts";
import type { DeviceStatus, KeyUpgradeStatus } from "./format.ts";
import { row } from "./rows.ts";

/**
 * The few words by which a device says what is the matter with its key. They are no secret:
 * somebody in front of the device must be able to say them on the phone.
 */
const WORDS = {
  "key.tpm-missing": "TPM missing",
  "key.not-this-board": "not this board",
  "key.tpm-cleared": "TPM cleared",
  "key.tpm-unavailable": "TPM cannot be used now",
  "key.missing": "key missing",
  "key.mismatch": "wrong or damaged key",
  "key.file-beside-tpm": "key in a file beside a usable TPM",
} as const satisfies Readonly<Partial<Record<FaultCode, string>>>;

const CODES: ReadonlyMap<string, string> = new Map(Object.entries(WORDS));

/** @returns undefined for a code that is not about the key. */
export function keyWords(code: string): string | undefined {
  return CODES.get(code);
}

/**
 * What is the matter with the key, of all that a status tells: first what the warden says, then
 * what the agent found.
 */
export function keyFaultOf({ lockdown, enrolment, troubles }: DeviceStatus): FaultReport | undefined {
  const waiting = enrolment?.lastFault;
  const told = troubles.flatMap((text) => faultIn(text) ?? []);
  const all = [...told, ...(waiting !== undefined && CODES.has(waiting.code) ? [waiting] : [])];
  return all.find(({ code }) => code === lockdown?.held) ?? all[0];
}

/** A trouble has the form "code: message". */
function faultIn(trouble: string): FaultReport | undefined {
  const code = FAULT_CODES.find((one) => CODES.has(one) && trouble.startsWith(`${one}: `));
  return code === undefined ? undefined : { code, message: trouble.slice(code.length + 2) };
}

/** Where the key is. */
export function whereText(protection: Protection): string {
  switch (protection) {
    case "tpm":
      return "in the TPM";
    case "sealed":
      return "sealed to the TPM, in memory while used";
    case "file":
      return "in a file, NOT in a TPM";
  }
}

/** Where the key is, and its fingerprint; while it cannot be used, those of the birth. */
export function keyRows(status: DeviceStatus): string[] {
  const { key, birth } = status;
  if (key !== undefined) {
    const where = whereText(key.protection);
    return [
      row("key", key.note === undefined ? where : `${where}: ${key.note}`),
      row("", key.fingerprint),
      ...(key.upgrade === undefined ? [] : [upgradeRow(key.upgrade)]),
    ];
  }
  if (birth === undefined) return [row("key", "none yet")];
  const words = keyWords(keyFaultOf(status)?.code ?? "") ?? "not loaded yet";
  return [row("key", `NOT USABLE: ${words}`, `born ${whereText(birth.protection)}`), row("", birth.fingerprint)];
}

function upgradeRow({ to, state, lastFault }: KeyUpgradeStatus): string {
  return row("", `upgrade (${to}): ${UPGRADES[state]}`, lastFault?.code);
}

const UPGRADES = {
  possible: "POSSIBLE, waits for an operator's order key.upgrade",
  ordered: "ordered, makes the new key",
  requesting: "asks the hub for the certificate of the new key",
  proving: "connects with the new key",
  replacing: "has the new key recorded",
  removing: "removes the old key",
} as const;

/** One line. */
export function tpmRow({ present, ownership, clear, lockedOut, escrowed }: TpmState): string {
  if (!present) return row("tpm", "none");
  return row(
    "tpm",
    OWNERSHIPS[ownership],
    CLEARS[clear],
    lockedOut ? "LOCKED OUT (the key is not)" : undefined,
    ownership === "ours" ? `passwords ${escrowed ? "escrowed" : "NOT escrowed"}` : undefined,
  );
}

const CLEARS = { forbidden: "clear forbidden", possible: "clear POSSIBLE", unknown: undefined } as const;

const OWNERSHIPS = {
  ours: "owned by this device",
  others: "owned by others",
  nobody: "owned by nobody",
  unknown: "owner not known",
} as const;
