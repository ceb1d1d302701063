// The one error class of the program. Its codes go into the audit log and over the wire, so they
// are an interface: test/hal/fault.test.ts pins the list.

import { clipBytes } from "./format/text.ts";

/**
 * Every code, grouped by the part that raises it. Codes are appended, never renamed and never
 * reused: hubs and operators match on them.
 */
export const FAULT_CODES = [
  "file.not-regular",
  "file.no-space",
  "file.read-failed",
  "file.read-only",
  "file.too-large",
  "file.untrusted-owner",
  "file.write-failed",
  "lock.held",
  "process.failed",
  "process.timeout",
  "json.invalid",
  "json.not-canonical",
  "json.too-large",
  "schema.invalid",
  "record.newer",
  "usage.invalid",
  "config.invalid",
  "config.unreadable",
  "identity.no-source",
  "identity.changed",
  "identity.other-board",
  "identity.elsewhere",
  "birth.conflict",
  "birth.unreadable",
  "key.create-failed",
  "key.file-beside-tpm",
  "key.mismatch",
  "key.missing",
  "key.not-this-board",
  "key.tpm-cleared",
  "key.tpm-missing",
  "key.tpm-unavailable",
  "key.weaker",
  "x509.invalid",
  "csr.invalid",
  "cms.invalid",
  "enrol.bad-response",
  "enrol.denied",
  "enrol.mismatch",
  "enrol.id-taken",
  "enrol.pending",
  "enrol.refused",
  "enrol.server-error",
  "enrol.timeout",
  "enrol.too-large",
  "enrol.unauthorized",
  "enrol.unreachable",
  "tls.hub-dates",
  "tls.hub-name",
  "tls.pin-ending",
  "tls.hub-untrusted",
  "tunnel.busy",
  "tunnel.closed",
  "tunnel.kicked",
  "tunnel.protocol",
  "tunnel.proxy-refused",
  "tunnel.refused",
  "tunnel.timeout",
  "tunnel.unreachable",
  "message.invalid",
  "spool.corrupt",
  "spool.full",
  "spool.too-large",
  "audit.full",
  "audit.removed",
  "audit.tampered",
  "audit.unknown-event",
  "audit.write-failed",
  "note.bad-signature",
  "note.invalid",
  "proof.invalid",
  "witness.conflict",
  "trust.bad-signature",
  "trust.expired",
  "trust.invalid",
  "trust.mismatch",
  "trust.missing",
  "trust.rollback",
  "trust.too-large",
  "time.bad-signature",
  "time.nonce-unknown",
  "time.out-of-range",
  "clock.set-failed",
  "protocol.closed",
  "protocol.invalid",
  "protocol.rate-limited",
  "protocol.too-large",
  "protocol.unknown-verb",
  "socket.denied",
  "socket.listen-failed",
  "socket.unreachable",
  "operation.denied",
  "operation.failed",
  "operation.invalid",
  "operation.rate-limited",
  "operation.unauthenticated",
  "operation.unknown",
  "operation.repeated",
  "roster.invalid",
  "order.bad-signature",
  "order.denied",
  "order.expired",
  "order.invalid",
  "order.replayed",
  "order.unsupported",
  "order.unresolved",
  "index.invalid",
  "index.too-large",
  "chunk.missing",
  "chunk.tampered",
  "boot.plan-invalid",
  "slot.busy",
  "slot.in-use",
  "slot.mismatch",
  "slot.read-failed",
  "slot.too-small",
  "slot.unknown",
  "slot.write-failed",
  "image.invalid",
  "power.failed",
  "update.aborted",
  "update.busy",
  "update.not-waiting",
  "update.record-invalid",
  "update.refused",
  "floor.below",
  "floor.invalid",
  "fetch.bad-response",
  "fetch.refused",
  "fetch.timeout",
  "fetch.too-large",
  "fetch.unreachable",
  "firewall.refused",
  "firewall.unreadable",
  "lockdown.busy",
  "lockdown.invalid",
  "lockdown.meddling",
  "lockdown.not-enforced",
  "lockdown.not-in-force",
  "lockdown.not-pending",
  "lockdown.unchanged",
  "lockdown.unknown",
  "lockdown.unsafe",
  "usb.busy",
  "usb.changed",
  "usb.gone",
  "usb.invalid",
  "usb.not-in-force",
  "usb.unreadable",
  "serial.closed",
  "serial.open-failed",
  "serial.overrun",
  "hub.already-initialised",
  "hub.clock-wrong",
  "hub.crl-failed",
  "hub.device-conflict",
  "hub.device-denied",
  "hub.device-revoked",
  "hub.device-unknown",
  "hub.files-exhausted",
  "hub.key-unusable",
  "hub.no-answer",
  "hub.listen-failed",
  "hub.not-initialised",
  "hub.outbox-full",
  "hub.store-failed",
  "hub.store-conflict",
  "release.already-initialised",
  "release.conflict",
  "release.key-unusable",
  "release.not-initialised",
  "release.store-failed",
  "release.refused",
  "assert.broken",
  "audit.too-large",
  "tpm.auth-failed",
  "tpm.busy",
  "tpm.cleared",
  "tpm.exists",
  "tpm.invalid",
  "tpm.locked-out",
  "tpm.missing",
  "tpm.not-ours",
  "tpm.not-ready",
  "tpm.nv-full",
  "tpm.nv-unwritten",
  "tpm.owned-by-others",
  "tpm.policy-failed",
  "tpm.protocol",
  "tpm.refused",
  "tpm.slots-full",
  "tpm.tampered",
  "tpm.timeout",
  "tpm.unreachable",
  "escrow.invalid",
  "escrow.key-unusable",
  "escrow.not-opened",
  "escrow.not-this-device",
  "escrow.refused",
  "reset.busy",
  "reset.failed",
  "reset.under-way",
  "clock.stepped",
  "enrol.revoked",
  "hub.clock-stepped",
  "tunnel.revoked",
] as const;

export type FaultCode = (typeof FAULT_CODES)[number];

/**
 * Bytes of a fault's message in UTF-8. Whatever a message is built from, it fits into an answer, a
 * journal line and a record of state. [STA-10]
 */
export const FAULT_MESSAGE_BYTES_MAX = 2048;

/**
 * An error with a code that machines match on, and a message that names the action, quotes the
 * value and says what was expected. The message is clipped to {@link FAULT_MESSAGE_BYTES_MAX}.
 */
export class Fault extends Error {
  readonly code: FaultCode; // no parameter property: types are stripped, not compiled
  /** How long the other side asked to be left alone, milliseconds. [OTA-77] */
  readonly retryAfterMs: number | undefined;

  constructor(code: FaultCode, message: string, options?: FaultOptions) {
    super(clipBytes(message, FAULT_MESSAGE_BYTES_MAX), options);
    this.code = code;
    this.name = "Fault";
    this.retryAfterMs = options?.retryAfterMs;
  }
}

interface FaultOptions extends ErrorOptions {
  readonly retryAfterMs?: number | undefined;
}

/**
 * Whether `error` says that the disk takes no bytes, because it is full or read-only. What is there
 * can still be read, so whoever can go on without a new record does. [STA-50]
 */
export function takesNothing(error: unknown): error is Fault {
  return error instanceof Fault && (error.code === "file.no-space" || error.code === "file.read-only");
}

/**
 * Gives a foreign error a code at the edge where it enters.
 * @returns `error` itself when it is a Fault, otherwise a Fault with `code` and `error` as its
 *   cause.
 */
export function asFault(error: unknown, code: FaultCode, action: string): Fault {
  const first = firstError(error);
  if (first instanceof Fault) return first;
  return new Fault(code, `${action}: ${wordsOf(first)}`, { cause: error });
}

/**
 * What went wrong first. Where something fails while it is closed after a fault, as a damaged store
 * does, JavaScript throws an error that hides the fault inside it.
 */
export function firstError(error: unknown): unknown {
  return error instanceof SuppressedError ? firstError(error.suppressed) : error;
}

/** OpenSSL's text with thread, place in its sources and data: only the reason is for a person. */
const OPENSSL = /(?:[0-9A-F]{8,16}:)?error:[0-9A-F]{8}:[^:\n]*:[^:\n]*:([^:\n]*):[^:\n]*:\d+:[^\n]*\n?/gu;

/** @returns what a foreign error says to a person. */
export function wordsOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(OPENSSL, "$1");
}

/** Checks what only a defect of ours can break, never input. @throws Fault `assert.broken`. */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new Fault("assert.broken", `broken assumption: ${claim}`);
}

/** For the default of an exhaustive switch. @throws Fault `assert.broken` always. */
export function unreachable(value: never): never {
  throw new Fault("assert.broken", `a value that the types exclude: ${JSON.stringify(value)}`);
}
