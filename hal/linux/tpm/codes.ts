// The TPM's response codes as faults, each with what to do about it. (Part 2, clause 6.6)
import { Fault, type FaultCode } from "../../fault.ts";
import { hex } from "./structures.ts";

/** Where in the command the TPM found fault, in codes of format one. */
export interface Position {
  readonly of: "parameter" | "handle" | "session";
  /** Counted from 1; 0 is "not told". */
  readonly number: number;
}

/** A response code, taken apart. */
export interface DecodedCode {
  readonly code: number;
  /** The code without its position: `TPM_RC_VALUE`; undefined for one that has no name here. */
  readonly name: string | undefined;
  readonly position: Position | undefined;
}

/** What the kernel's and tss2's resource managers put above the code to say which layer it is. */
const LAYER_MASK = 0xffff_0000;

/** RC_FMT1. (Part 2, table 16) */
const FORMAT_ONE: Readonly<Record<number, string>> = {
  0x01: "ASYMMETRIC",
  0x02: "ATTRIBUTES",
  0x03: "HASH",
  0x04: "VALUE",
  0x05: "HIERARCHY",
  0x07: "KEY_SIZE",
  0x08: "MGF",
  0x09: "MODE",
  0x0a: "TYPE",
  0x0b: "HANDLE",
  0x0c: "KDF",
  0x0d: "RANGE",
  0x0e: "AUTH_FAIL",
  0x0f: "NONCE",
  0x10: "PP",
  0x12: "SCHEME",
  0x15: "SIZE",
  0x16: "SYMMETRIC",
  0x17: "TAG",
  0x18: "SELECTOR",
  0x1a: "INSUFFICIENT",
  0x1b: "SIGNATURE",
  0x1c: "KEY",
  0x1d: "POLICY_FAIL",
  0x1f: "INTEGRITY",
  0x20: "TICKET",
  0x21: "RESERVED_BITS",
  0x22: "BAD_AUTH",
  0x23: "EXPIRED",
  0x24: "POLICY_CC",
  0x25: "BINDING",
  0x26: "CURVE",
  0x27: "ECC_POINT",
};

/** RC_VER1 (0x100) and RC_WARN (0x900), and what a TPM 1.2 says. (Part 2, table 16) */
const FORMAT_ZERO: Readonly<Record<number, string>> = {
  0x01e: "BAD_TAG",
  0x100: "INITIALIZE",
  0x101: "FAILURE",
  0x103: "SEQUENCE",
  0x10b: "PRIVATE",
  0x119: "HMAC",
  0x120: "DISABLED",
  0x121: "EXCLUSIVE",
  0x124: "AUTH_TYPE",
  0x125: "AUTH_MISSING",
  0x126: "POLICY",
  0x127: "PCR",
  0x128: "PCR_CHANGED",
  0x12d: "UPGRADE",
  0x12e: "TOO_MANY_CONTEXTS",
  0x12f: "AUTH_UNAVAILABLE",
  0x130: "REBOOT",
  0x131: "UNBALANCED",
  0x142: "COMMAND_SIZE",
  0x143: "COMMAND_CODE",
  0x144: "AUTHSIZE",
  0x145: "AUTH_CONTEXT",
  0x146: "NV_RANGE",
  0x147: "NV_SIZE",
  0x148: "NV_LOCKED",
  0x149: "NV_AUTHORIZATION",
  0x14a: "NV_UNINITIALIZED",
  0x14b: "NV_SPACE",
  0x14c: "NV_DEFINED",
  0x150: "BAD_CONTEXT",
  0x151: "CPHASH",
  0x152: "PARENT",
  0x153: "NEEDS_TEST",
  0x154: "NO_RESULT",
  0x155: "SENSITIVE",
  0x901: "CONTEXT_GAP",
  0x902: "OBJECT_MEMORY",
  0x903: "SESSION_MEMORY",
  0x904: "MEMORY",
  0x905: "SESSION_HANDLES",
  0x906: "OBJECT_HANDLES",
  0x907: "LOCALITY",
  0x908: "YIELDED",
  0x909: "CANCELED",
  0x90a: "TESTING",
  0x910: "REFERENCE_H0",
  0x911: "REFERENCE_H1",
  0x912: "REFERENCE_H2",
  0x913: "REFERENCE_H3",
  0x914: "REFERENCE_H4",
  0x915: "REFERENCE_H5",
  0x916: "REFERENCE_H6",
  0x918: "REFERENCE_S0",
  0x919: "REFERENCE_S1",
  0x91a: "REFERENCE_S2",
  0x91b: "REFERENCE_S3",
  0x91c: "REFERENCE_S4",
  0x91d: "REFERENCE_S5",
  0x91e: "REFERENCE_S6",
  0x920: "NV_RATE",
  0x921: "LOCKOUT",
  0x922: "RETRY",
  0x923: "NV_UNAVAILABLE",
};

const NOT_LOST = "the key is not lost";
const END_THEM = "end the other program or restart";
const AUTH = "the password is not the one that was set; ask whoever set it";
const GONE = "there is nothing at this handle";
const LACKS = "this chip cannot do that; make a key of another kind, or keep it elsewhere";

/** Fault and advice by name; a name that is missing is `tpm.refused`. */
const MEANINGS: Readonly<Record<string, readonly [FaultCode, string]>> = {
  LOCKOUT: [
    "tpm.locked-out",
    "too many wrong passwords were tried; the key is not lost: wait for the lockout to end, or clear it with the lockout password",
  ],
  RETRY: ["tpm.busy", "it is busy; try again"],
  YIELDED: ["tpm.busy", "it is busy; try again"],
  TESTING: ["tpm.busy", "it tests itself; try again"],
  CANCELED: ["tpm.busy", "the command was cancelled; try again"],
  NV_RATE: ["tpm.busy", "it limits writes to spare its memory; try again later"],
  NV_UNAVAILABLE: ["tpm.busy", "its memory cannot be written now; try again"],
  AUTH_FAIL: ["tpm.auth-failed", `${AUTH}, and do not guess: each wrong one counts towards a lockout`],
  BAD_AUTH: ["tpm.auth-failed", AUTH],
  AUTH_UNAVAILABLE: ["tpm.auth-failed", "this object takes no such authorization, perhaps only a policy"],
  AUTH_TYPE: ["tpm.auth-failed", "this object takes another kind of authorization"],
  AUTH_MISSING: ["tpm.auth-failed", "the command needs an authorization"],
  NV_AUTHORIZATION: ["tpm.auth-failed", "the index does not let this authorization do that"],
  POLICY_FAIL: ["tpm.policy-failed", "the state that the policy asks for is not there"],
  POLICY_CC: ["tpm.policy-failed", "the policy is for another command"],
  PCR_CHANGED: ["tpm.policy-failed", "a PCR changed since the policy looked at it; begin again"],
  EXPIRED: ["tpm.policy-failed", "the authorization ran out; begin again"],
  OBJECT_MEMORY: [
    "tpm.slots-full",
    `other programs fill its slots for keys, or something was not flushed; ${NOT_LOST}: ${END_THEM}`,
  ],
  SESSION_MEMORY: [
    "tpm.slots-full",
    `other programs fill its slots for sessions, or one was not flushed; ${NOT_LOST}: ${END_THEM}`,
  ],
  MEMORY: [
    "tpm.slots-full",
    `keys and sessions in its slots leave no memory for the command; ${NOT_LOST}: try again, ${END_THEM}`,
  ],
  SESSION_HANDLES: [
    "tpm.slots-full",
    `as many sessions are begun or saved as it can number, outside of its slots too; ${NOT_LOST}: ${END_THEM}`,
  ],
  OBJECT_HANDLES: ["tpm.slots-full", `as many keys fill its slots as it can number; ${NOT_LOST}: ${END_THEM}`],
  TOO_MANY_CONTEXTS: [
    "tpm.slots-full",
    `it counts no further contexts that are saved from its slots; ${NOT_LOST}: restart the device`,
  ],
  CONTEXT_GAP: ["tpm.slots-full", "a saved session of another program is too old; end that program"],
  NV_SPACE: ["tpm.nv-full", "its memory is full; undefine an index or a persistent key, when it is certain that nobody uses it"],
  NV_RANGE: ["tpm.refused", "the index is shorter than that; it is not the one that was expected"],
  NV_LOCKED: ["tpm.refused", "the index is locked until the next start, or for ever"],
  NV_DEFINED: ["tpm.exists", "the index or persistent key exists; use it, or take another number"],
  NV_UNINITIALIZED: ["tpm.nv-unwritten", "the index has not been written; write it first"],
  INITIALIZE: ["tpm.not-ready", "it was not started, as firmware and kernel do; power-cycle the device"],
  FAILURE: [
    "tpm.not-ready",
    "it failed a test of itself and does nothing until it is started again; power-cycle the device, and replace the board if that does not help",
  ],
  NEEDS_TEST: ["tpm.not-ready", "it wants to test itself first; power-cycle the device"],
  REBOOT: ["tpm.not-ready", "it wants a restart; power-cycle the device"],
  UPGRADE: ["tpm.not-ready", "its firmware is being updated; wait and power-cycle the device"],
  INTEGRITY: [
    "tpm.not-ours",
    "the blob is of another TPM, or this one was cleared, or the file is damaged; put back what belongs together",
  ],
  BINDING: ["tpm.not-ours", "public and private part are of two keys, or damaged; put back what belongs together"],
  SENSITIVE: ["tpm.not-ours", "the private part is of another parent, or damaged; put back what belongs together"],
  HIERARCHY: ["tpm.refused", "the hierarchy is switched off by firmware or owner; use another, or have it switched on"],
  DISABLED: ["tpm.refused", "owner or firmware forbid the command; only the firmware's settings allow it again"],
  COMMAND_CODE: ["tpm.refused", "this chip does not know the command; update its firmware, or do without"],
  LOCALITY: ["tpm.refused", "the command is for another locality, as firmware has; do without it"],
  PP: ["tpm.refused", "it wants somebody at the board to agree, in the firmware's settings"],
  ASYMMETRIC: ["tpm.refused", LACKS],
  HASH: ["tpm.refused", LACKS],
  KEY_SIZE: ["tpm.refused", LACKS],
  SYMMETRIC: ["tpm.refused", LACKS],
  CURVE: ["tpm.refused", LACKS],
  BAD_TAG: ["tpm.refused", "it is a TPM 1.2; a TPM 2.0 is needed"],
  HANDLE: ["tpm.missing", GONE],
  REFERENCE_H: ["tpm.missing", GONE],
  REFERENCE_S: ["tpm.missing", "the session is gone; begin a new one"],
};

/** Commands that are sent again unchanged: the TPM did not begin them. (Part 2, table 16) */
const AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922]);

/** Pure. Whether the TPM asks for the same command once more. */
export function isRetry(code: number): boolean {
  return AGAIN.has((code & ~LAYER_MASK) >>> 0);
}

/** Pure. Takes any code apart; a code that nobody defined has no name. */
export function decodeCode(code: number): DecodedCode {
  const plain = (code & ~LAYER_MASK) >>> 0;
  if ((plain & 0x80) === 0) return { code, name: FORMAT_ZERO[plain], position: undefined };
  const number = (plain >>> 8) & 0xf;
  const name = FORMAT_ONE[plain & 0x3f];
  if ((plain & 0x40) !== 0) return { code, name, position: { of: "parameter", number } };
  return { code, name, position: number >= 8 ? { of: "session", number: number - 8 } : { of: "handle", number } };
}

/** Pure. The fault for a response code that is not TPM_RC_SUCCESS. [ID-42] */
export function responseFault(command: string, code: number): Fault {
  const { name, position } = decodeCode(code);
  // Seven handles and seven sessions that are not loaded mean one thing each.
  const meant = (name ?? "").replace(/^(REFERENCE_[HS])\d$/u, "$1");
  const [fault, advice] = MEANINGS[meant] ?? ["tpm.refused", "this is not expected; report it with this line"];
  const where = position === undefined || position.number === 0 ? "" : ` for ${position.of} ${position.number}`;
  return new Fault(fault, `the TPM refuses ${command} with ${hex(code)} (TPM_RC_${name ?? "unknown"})${where}: ${advice}`);
}
