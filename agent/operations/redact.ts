// The redaction of results: what a principal may see of an answer. The table of operations decides
// who may ask at all. Pure. [OPS-5]
import type { Fault, FaultCode } from "../../hal/fault.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { LockdownState } from "../../warden/lockdown/format/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import type { DeviceStatus } from "../status/format.ts";
import { keyWords } from "../status/index.ts";
import type { OperationName, OperationResult, Principal } from "./format.ts";

/** Replaces a value that the reader may not see. "none" would be false. */
export const WITHHELD = "(withheld)";

export type Redactors = {
  readonly [N in OperationName]: (result: OperationResult<N>, principal: Principal) => OperationResult<N>;
};

/** One for every operation, so that removing nothing is a decision too. */
export const REDACTORS: Redactors = {
  status: (status, principal) => (isGuest(principal) ? statusForGuest(status) : status),
  "identity.show": (view) => view,
  "audit.tail": (tail) => tail,
  "update.status": (status) => status,
  "update.approve": (status) => status,
  "update.revert": (status) => status,
  "lockdown.show": (view) => view,
  "lockdown.plan": (preview) => preview,
  "lockdown.enforced": (plan) => plan,
  "lockdown.confirm": (view) => view,
  "lockdown.revert": (view) => view,
  "system.reboot": (result) => result,
  "key.upgrade": (result) => result,
  "reset.plan": (plan) => plan,
  "system.wipe": (result) => result,
  "order.nonce": (nonce) => nonce,
};

/** True before a login: anybody may hold the cable. */
export function isGuest(principal: Principal): boolean {
  return !principal.roles.some((role) => role !== "guest");
}

/**
 * The status for somebody in front of the device, who must be able to say "it is up" or "it stops
 * at this fault": state, protection, key fingerprint (to compare at approval), dates and fault
 * codes. It contains no address of the hub, no issuer of the certificate and no fault messages,
 * which quote hosts, proxies and paths; of a fault of the key it has the few words that name it.
 * Nothing says which TPM it is and who owns that. Of policy and update it contains the state, but
 * not what is open, which release comes, or the subject of an order.
 */
export function statusForGuest(status: DeviceStatus): DeviceStatus {
  const { tpm: _withheld, ...shown } = status;
  const { key, certificate, enrolment, tunnel, lockdown, update } = shown;
  return {
    ...shown,
    ...(key?.upgrade && { key: { ...key, upgrade: { to: key.upgrade.to, state: key.upgrade.state } } }),
    ...(certificate && { certificate: { ...certificate, serial: WITHHELD, issuer: WITHHELD } }),
    ...(enrolment && {
      enrolment: { ...enrolment, ...(enrolment.lastFault && { lastFault: withoutMessage(enrolment.lastFault) }) },
    }),
    tunnel: {
      ...tunnel,
      ...(tunnel.hub !== undefined && { hub: WITHHELD }),
      ...(tunnel.peer !== undefined && { peer: WITHHELD }),
      ...(tunnel.lastFault && { lastFault: withoutMessage(tunnel.lastFault) }),
    },
    ...(lockdown && { lockdown: lockdownForGuest(lockdown) }),
    ...(update && { update: updateForGuest(update) }),
    troubles: status.troubles.map((trouble) => troubleForGuest(trouble)),
  };
}

function lockdownForGuest({ at, counter, held, meddling, reverted, unenforced, unknown }: LockdownState): LockdownState {
  return {
    at,
    ...(held !== undefined && { held }),
    ...(meddling && { meddling: { ...meddling, by: WITHHELD } }),
    ...(counter !== undefined && { counter }),
    ...(reverted && { reverted: { ...reverted, reason: WITHHELD } }),
    ...(unenforced && { unenforced: unenforced.map(() => WITHHELD) }),
    ...(unknown && { unknown: unknown.map(() => WITHHELD) }),
  };
}

function updateForGuest({ phase, version, running, reason }: UpdateStatus): UpdateStatus {
  return {
    phase,
    ...(version !== undefined && { version }),
    ...(running !== undefined && { running }),
    ...(reason && { reason: { why: reason.why, detail: WITHHELD } }),
  };
}

/** Faults about the request. All others are about the device. */
const ABOUT_THE_REQUEST: readonly FaultCode[] = [
  "operation.denied",
  "operation.invalid",
  "operation.unauthenticated",
  "operation.unknown",
];

/** A fault as an answer to `principal`. Of faults inside the device a guest gets only the code. */
export function faultFor(principal: Principal | undefined, fault: Fault): FaultReport {
  if (!ABOUT_THE_REQUEST.includes(fault.code) && (principal === undefined || isGuest(principal)))
    return { code: fault.code, message: "the operation failed; the audit trail says more" };
  return { code: fault.code, message: fault.message };
}

function withoutMessage({ code }: FaultReport): FaultReport {
  return { code, message: messageForGuest(code) };
}

/** [ID-73] "TPM missing" must be readable for whoever stands in front of the device. */
function messageForGuest(code: string): string {
  const words = keyWords(code);
  return words === undefined ? WITHHELD : `${words} ${WITHHELD}`;
}

/** A trouble has the form "code: message". Without a code nothing in it is safe to show. */
function troubleForGuest(trouble: string): string {
  const code = /^[a-z0-9-]+\.[a-z0-9-]+(?=: )/u.exec(trouble)?.[0];
  return code === undefined ? WITHHELD : `${code}: ${messageForGuest(code)}`;
}
