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

/** RC_VER1 (0x100) and RC_WARN (0x900). (Part 2, table 16) */
const FORMAT_ZERO: Readonly<Record<number, string>> = {
  0x100: "INITIALIZE",
  0x101: "FAILURE",
  0x103: "SEQUENCE",
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
  0x918: "REFERENCE_S0",
  0x919: "REFERENCE_S1",
  0x91a: "REFERENCE_S2",
  0x920: "NV_RATE",
  0x921: "LOCKOUT",
  0x922: "RETRY",
  0x923: "NV_UNAVAILABLE",
};

const SLOTS =
  "other programs fill its slots, or something was not flushed; the key is not lost: end the other program or restart";
const AUTH = "the password is not the one that was set; ask whoever set it";
const NOT_READY = "it has not been started or failed its self-test; power-cycle the device";

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
  OBJECT_MEMORY: ["tpm.slots-full", SLOTS],
  SESSION_MEMORY: ["tpm.slots-full", SLOTS],
  MEMORY: ["tpm.slots-full", SLOTS],
  SESSION_HANDLES: ["tpm.slots-full", SLOTS],
  OBJECT_HANDLES: ["tpm.slots-full", SLOTS],
  TOO_MANY_CONTEXTS: ["tpm.slots-full", SLOTS],
  CONTEXT_GAP: ["tpm.slots-full", "a saved session of another program is too old; end that program"],
  NV_SPACE: ["tpm.nv-full", "its memory is full; undefine an index or a persistent key that nobody uses"],
  NV_DEFINED: ["tpm.exists", "the index or persistent key exists; use it, or take another number"],
  NV_UNINITIALIZED: ["tpm.nv-unwritten", "the index has not been written; write it first"],
  INITIALIZE: ["tpm.not-ready", NOT_READY],
  FAILURE: ["tpm.not-ready", NOT_READY],
  NEEDS_TEST: ["tpm.not-ready", NOT_READY],
  REBOOT: ["tpm.not-ready", "it wants a restart; power-cycle the device"],
  UPGRADE: ["tpm.not-ready", "its firmware is being updated; wait and power-cycle the device"],
  INTEGRITY: [
    "tpm.not-ours",
    "the blob is of another TPM, or this one was cleared, or the file is damaged; put back what belongs together",
  ],
  HANDLE: ["tpm.missing", "there is nothing at this handle"],
  REFERENCE_H0: ["tpm.missing", "there is nothing at this handle"],
  REFERENCE_S0: ["tpm.missing", "the session is gone; begin a new one"],
};

/** Commands that are sent again unchanged: the TPM did not begin them. (Part 2, table 16) */
const AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922]);

/** Pure. Whether the TPM asks for the same command once more. */
export function isRetry(code: number): boolean {
  return AGAIN.has(code);
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
  const [fault, advice] = MEANINGS[name ?? ""] ?? ["tpm.refused", "this is not expected; report it with this line"];
  const where = position === undefined || position.number === 0 ? "" : ` for ${position.of} ${position.number}`;
  return new Fault(fault, `the TPM refuses ${command} with ${hex(code)} (TPM_RC_${name ?? "unknown"})${where}: ${advice}`);
}
