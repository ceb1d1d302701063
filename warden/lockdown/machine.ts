// The state machine of a policy: settled -> intending -> applying -> pending -> confirming ->
// settled. From each of these it can go back to the policy confirmed before. Pure: time and chance
// arrive in events, effects leave as data. [LCK-10] [LCK-11] [LCK-12]
import type { FaultCode } from "../../hal/fault.ts";
import type { Plan } from "./format/index.ts";
import { RETRY_MS } from "./limits.ts";
import { type Accepted, type LockdownRecord, mayTryAgain, type ReadableAccepted, type Reverted } from "./record.ts";

export interface PolicyOffer {
  readonly accepted: ReadableAccepted;
  /**
   * The plan whose hash the confirming operator sees: it is applied unchanged, not planned anew.
   */
  readonly plan: Plan;
  /** [LCK-67] Earlier trials of it that an orderly stop has ended. */
  readonly interruptions?: number | undefined;
}

/**
 * `reverted` is the last policy that was tried and not kept. `unrecorded`: the revert is in neither
 * the record nor the trail yet.
 */
export type State =
  /** `previous` is in force; undefined stands for the base policy. */
  | { readonly at: "settled"; readonly previous: Accepted | undefined; readonly reverted: Reverted | undefined }
  | { readonly at: "intending"; readonly previous: Accepted | undefined; readonly offer: PolicyOffer }
  | { readonly at: "applying"; readonly previous: Accepted | undefined; readonly offer: PolicyOffer }
  | {
      readonly at: "pending";
      readonly previous: Accepted | undefined;
      readonly offer: PolicyOffer;
      readonly nonce: string;
      readonly confirmByMs: number;
    }
  | { readonly at: "confirming"; readonly previous: Accepted | undefined; readonly offer: PolicyOffer; readonly keyid: string }
  | {
      readonly at: "reverting";
      readonly previous: Accepted | undefined;
      readonly reverted: Reverted | undefined;
      readonly unrecorded: boolean;
    }
  /** The tried policy is out of force, but the record still names it. */
  | { readonly at: "forgetting"; readonly previous: Accepted | undefined; readonly reverted: Reverted }
  /** Not even the confirmed policy can be put in force. */
  | {
      readonly at: "shut";
      readonly previous: Accepted | undefined;
      readonly reverted: Reverted | undefined;
      readonly unrecorded: boolean;
    };

/** Times are monotonic milliseconds. */
export type Event =
  | { readonly kind: "offered"; readonly offer: PolicyOffer }
  | { readonly kind: "recorded" }
  | { readonly kind: "record-failed"; readonly code: FaultCode }
  | { readonly kind: "applied"; readonly monotonicMs: number; readonly nonce: string }
  | { readonly kind: "apply-failed"; readonly code: FaultCode }
  /** By an order that was checked. [LCK-12] */
  | { readonly kind: "confirmed"; readonly monotonicMs: number; readonly keyid: string }
  | { readonly kind: "withdrawn"; readonly reason: Exclude<Reverted["reason"], "restarted"> }
  /** The plan is found not to be in force any more, or the wait after a failure is over. */
  | { readonly kind: "retry" };

export type Effect =
  | { readonly do: "record"; readonly record: LockdownRecord }
  | { readonly do: "apply-plan"; readonly plan: Plan }
  /** Planned anew, because the machine may have changed since. */
  | { readonly do: "apply-accepted"; readonly accepted: Accepted | undefined }
  | { readonly do: "apply-shut" }
  | { readonly do: "arm-deadline"; readonly forMs: number }
  | { readonly do: "disarm-deadline" }
  /** The policy is out of force, or confirmed and recorded. [LCK-15] */
  | { readonly do: "disarm-switch" }
  | { readonly do: "arm-retry"; readonly afterMs: number }
  | { readonly do: "audit"; readonly report: LockdownReport };

/** For the audit trail. [LCK-14] */
export type LockdownReport =
  /** `counter` is undefined for the base policy. */
  | { readonly kind: "enforced"; readonly counter: number | undefined }
  /** Others had changed the machine. `by`: who has changed our table, where it was told. */
  | { readonly kind: "restored"; readonly what: readonly string[]; readonly by?: string | undefined }
  | { readonly kind: "pending"; readonly planHash: string; readonly counter: number; readonly confirmWithinS: number }
  | { readonly kind: "confirmed"; readonly planHash: string; readonly counter: number; readonly keyid: string }
  | ({ readonly kind: "reverted" } & Reverted)
  /** The dead man's switch was faster than the warden. [LCK-15] */
  | { readonly kind: "switch-fired" }
  | { readonly kind: "shut"; readonly code: FaultCode };

/**
 * At most one effect of a step has an outcome (record, apply-plan, apply-accepted, arm-deadline),
 * and it is the last. The event of its outcome comes before any other.
 */
export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/**
 * [LCK-11] Puts the confirmed policy of the record in force first; a policy that was on trial is
 * reverted.
 */
export function start(record: LockdownRecord | undefined): Step {
  const { confirmed, pending, reverted } = record ?? {};
  return pending === undefined
    ? revert(confirmed, reverted, false)
    : revert(confirmed, { counter: pending.counter, planHash: pending.planHash, reason: "restarted" }, true);
}

/**
 * @returns the state after `event`, and the effects that the driver must perform. Never throws: an
 *   event that makes no sense in `state` changes nothing.
 */
export function next(state: State, event: Event): Step {
  switch (event.kind) {
    case "offered":
      return onOffered(state, event.offer);
    case "recorded":
      return onRecorded(state);
    case "record-failed":
      if (state.at === "intending" || state.at === "confirming") return failed(state.previous, state.offer, event.code);
      // on the disk the policy is still on trial: the next start reverts it once more, which
      // changes nothing
      return state.at === "forgetting" ? settle(state.previous, state.reverted, true) : same(state);
    case "applied":
      return onApplied(state, event.monotonicMs, event.nonce);
    case "apply-failed":
      if (state.at === "applying") return failed(state.previous, state.offer, event.code);
      return state.at === "reverting" ? shut(state, event.code) : same(state);
    case "confirmed":
      return onConfirmed(state, event.monotonicMs, event.keyid);
    case "withdrawn":
      if (state.at !== "pending") return same(state);
      return withEffects([{ do: "disarm-deadline" }], failed(state.previous, state.offer, event.reason));
    case "retry":
      if (state.at === "shut") return revert(state.previous, state.reverted, state.unrecorded);
      return state.at === "settled" ? revert(state.previous, state.reverted, false) : same(state);
  }
}

/**
 * [LCK-10] Records the intent first. One policy is tried at a time; an offer can also mend a
 * machine that is shut.
 */
function onOffered(state: State, offer: PolicyOffer): Step {
  if (state.at !== "settled" && state.at !== "shut") return same(state);
  const { previous, reverted } = state;
  const { counter, planHash } = offer.accepted;
  const again = reverted !== undefined && reverted.counter === counter && mayTryAgain(reverted);
  const interruptions = again ? (reverted.interruptions ?? 1) : undefined;
  const pending = { counter, planHash, ...(interruptions === undefined ? {} : { interruptions }) };
  return {
    state: { at: "intending", previous, offer: { ...offer, interruptions } },
    effects: [{ do: "record", record: { v: 2, confirmed: previous, pending } }],
  };
}

function onRecorded(state: State): Step {
  switch (state.at) {
    case "intending": {
      const { previous, offer } = state;
      return { state: { at: "applying", previous, offer }, effects: [{ do: "apply-plan", plan: offer.plan }] };
    }
    case "confirming": {
      const { accepted } = state.offer;
      const report: LockdownReport = {
        kind: "confirmed",
        planHash: accepted.planHash,
        counter: accepted.counter,
        keyid: state.keyid,
      };
      return {
        state: { at: "settled", previous: accepted, reverted: undefined },
        effects: [{ do: "disarm-switch" }, { do: "audit", report }],
      };
    }
    case "forgetting":
      return settle(state.previous, state.reverted, true);
    default:
      return same(state);
  }
}

function onApplied(state: State, monotonicMs: number, nonce: string): Step {
  if (state.at === "reverting") {
    const { previous, reverted } = state;
    const out: readonly Effect[] = [{ do: "disarm-switch" }];
    if (reverted === undefined || !state.unrecorded) return withEffects(out, settle(previous, reverted, false));
    const record: LockdownRecord = { v: 2, confirmed: previous, reverted };
    return { state: { at: "forgetting", previous, reverted }, effects: [...out, { do: "record", record }] };
  }
  if (state.at !== "applying") return same(state);
  const { previous, offer } = state;
  const { counter, planHash, policy } = offer.accepted;
  const forMs = policy.confirmWithinS * 1000;
  return {
    state: { at: "pending", previous, offer, nonce, confirmByMs: monotonicMs + forMs },
    effects: [
      { do: "audit", report: { kind: "pending", planHash, counter, confirmWithinS: policy.confirmWithinS } },
      { do: "arm-deadline", forMs },
    ],
  };
}

/**
 * [LCK-12] The monotonic clock decides whether the order is in time, even when the timer is late.
 */
function onConfirmed(state: State, monotonicMs: number, keyid: string): Step {
  if (state.at !== "pending") return same(state);
  const { previous, offer, confirmByMs } = state;
  if (monotonicMs >= confirmByMs) return withEffects([{ do: "disarm-deadline" }], failed(previous, offer, "deadline"));
  return {
    state: { at: "confirming", previous, offer, keyid },
    effects: [{ do: "disarm-deadline" }, { do: "record", record: { v: 2, confirmed: offer.accepted } }],
  };
}

/**
 * [LCK-11] First out of force, then out of the record: after a cut between the two, the next start
 * does both again.
 */
function failed(previous: Accepted | undefined, offer: PolicyOffer, reason: Reverted["reason"]): Step {
  const { counter, planHash } = offer.accepted;
  const interruptions = reason === "stopped" ? { interruptions: (offer.interruptions ?? 0) + 1 } : {};
  return revert(previous, { counter, planHash, reason, ...interruptions }, true);
}

function revert(previous: Accepted | undefined, reverted: Reverted | undefined, unrecorded: boolean): Step {
  return { state: { at: "reverting", previous, reverted, unrecorded }, effects: [{ do: "apply-accepted", accepted: previous }] };
}

function shut({ previous, reverted, unrecorded }: State & { readonly at: "reverting" }, code: FaultCode): Step {
  return {
    state: { at: "shut", previous, reverted, unrecorded },
    effects: [
      { do: "apply-shut" },
      { do: "disarm-switch" },
      { do: "arm-retry", afterMs: RETRY_MS },
      { do: "audit", report: { kind: "shut", code } },
    ],
  };
}

function settle(previous: Accepted | undefined, reverted: Reverted | undefined, unrecorded: boolean): Step {
  const audit: readonly Effect[] =
    unrecorded && reverted !== undefined ? [{ do: "audit", report: { kind: "reverted", ...reverted } }] : [];
  return {
    state: { at: "settled", previous, reverted },
    effects: [...audit, { do: "audit", report: { kind: "enforced", counter: previous?.counter } }],
  };
}

function withEffects(before: readonly Effect[], { state, effects }: Step): Step {
  return { state, effects: [...before, ...effects] };
}

function same(state: State): Step {
  return { state, effects: [] };
}
