// What a principal may see of a result. Pure. Rights to ask are in the table; this is about what is in the answer. [OPS-5]
import type { Fault, FaultCode } from "../../hal/fault.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { LockdownState } from "../../warden/lockdown/format/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import type { DeviceStatus } from "../status/format.ts";
import type { OperationName, OperationResult, Principal } from "./format.ts";

/** Stands where something is, but not for this reader: "none" would be a lie. */
export const WITHHELD = "(withheld)";

export type Redactors = {
  readonly [N in OperationName]: (result: OperationResult<N>, principal: Principal) => OperationResult<N>;
};

/** One for every operation: that nothing has to be taken out is a decision too. */
export const REDACTORS: Redactors = {
  status: (snapshot, principal) => (isGuest(principal) ? statusForGuest(snapshot) : snapshot),
  "audit.tail": (tail) => tail,
  "update.status": (status) => status,
  "update.approve": (status) => status,
  "update.revert": (status) => status,
  "lockdown.show": (shown) => shown,
  "lockdown.plan": (preview) => preview,
  "lockdown.confirm": (shown) => shown,
  "lockdown.revert": (shown) => shown,
  "system.reboot": (done) => done,
  "order.nonce": (nonce) => nonce,
};

/** True before login: whoever holds the cable may be anyone. */
export function isGuest(principal: Principal): boolean {
  return !principal.roles.some((role) => role !== "guest");
}

/**
 * What someone in front of the device needs to say "it is up" or "it stops at this fault": state, protection, key fingerprint (to compare at approval), dates and
 * codes. Not where the hub is, who issued the certificate, and not the words of faults, which quote hosts, proxies and paths. Of policy and update: how far, not what
 * is open, what is on its way or what an order would have to be about.
 */
export function statusForGuest(snapshot: DeviceStatus): DeviceStatus {
  const { certificate, enrolment, tunnel, lockdown, update } = snapshot;
  return {
    ...snapshot,
    ...(certificate && { certificate: { ...certificate, serial: WITHHELD, issuer: WITHHELD } }),
    ...(enrolment && {
      enrolment: { ...enrolment, ...(enrolment.lastFault && { lastFault: withoutWords(enrolment.lastFault) }) },
    }),
    tunnel: {
      ...tunnel,
      ...(tunnel.hub !== undefined && { hub: WITHHELD }),
      ...(tunnel.peer !== undefined && { peer: WITHHELD }),
      ...(tunnel.lastFault && { lastFault: withoutWords(tunnel.lastFault) }),
    },
    ...(lockdown && { lockdown: lockdownForGuest(lockdown) }),
    ...(update && { update: updateForGuest(update) }),
    troubles: snapshot.troubles.map((trouble) => troubleForGuest(trouble)),
  };
}

function lockdownForGuest({ at, counter, reverted, unenforced }: LockdownState): LockdownState {
  return {
    at,
    ...(counter !== undefined && { counter }),
    ...(reverted && { reverted: { ...reverted, reason: WITHHELD } }),
    ...(unenforced && { unenforced: unenforced.map(() => WITHHELD) }),
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

/** Faults that speak of the request only; all others speak of the device. */
const ABOUT_THE_REQUEST: readonly FaultCode[] = [
  "operation.denied",
  "operation.invalid",
  "operation.unauthenticated",
  "operation.unknown",
];

/** A fault as an answer to `principal`: a guest gets the code of what went wrong inside, not its words. */
export function faultFor(principal: Principal | undefined, fault: Fault): FaultReport {
  if (!ABOUT_THE_REQUEST.includes(fault.code) && (principal === undefined || isGuest(principal)))
    return { code: fault.code, message: "the operation failed; the audit trail says more" };
  return { code: fault.code, message: fault.message };
}

function withoutWords(fault: FaultReport): FaultReport {
  return { code: fault.code, message: WITHHELD };
}

/** Troubles read "code: words"; one without a code has nothing that is safe to keep. */
function troubleForGuest(trouble: string): string {
  const code = /^[a-z0-9-]+\.[a-z0-9-]+(?=: )/u.exec(trouble)?.[0];
  return code === undefined ? WITHHELD : `${code}: ${WITHHELD}`;
}
