// The lockdown's status, as status pages and operators see it.
import type { FaultCode } from "../../hal/fault.ts";
import { type Plan, planHash } from "./format/index.ts";
import type { State } from "./machine.ts";
import type { Reverted } from "./record.ts";

export interface PolicyTrial {
  readonly planHash: string;
  /** For the order that confirms the policy. It is made once the policy is in force. */
  readonly nonce: string;
  readonly confirmWithinMs: number;
}

export interface LockdownStatus {
  readonly at: "base" | "confirmed" | "pending" | "shut" | "changing";
  /** Counter of the policy in force; undefined for the base policy. */
  readonly counter: number | undefined;
  /** Hash of the plan in force. */
  readonly planHash: string | undefined;
  readonly trial: PolicyTrial | undefined;
  /** The last policy that was tried and not kept. */
  readonly reverted: Reverted | undefined;
  /** [ID-72] Why the doors are shut though a policy is in force; undefined when they are not. */
  readonly held?: FaultCode | undefined;
}

export function statusOf(state: State, plan: Plan | undefined, monotonicMs: number): Omit<LockdownStatus, "held"> {
  const counter = state.previous?.counter;
  const known = { counter, planHash: plan === undefined ? undefined : planHash(plan), trial: undefined, reverted: undefined };
  switch (state.at) {
    case "settled":
      return { ...known, at: counter === undefined ? "base" : "confirmed", reverted: state.reverted };
    case "pending":
      return { ...known, at: "pending", counter: state.offer.accepted.counter, trial: trialOf(state, monotonicMs) };
    case "shut":
      return { ...known, at: "shut", counter: undefined, reverted: state.reverted };
    default:
      return { ...known, at: "changing" };
  }
}

function trialOf({ offer, nonce, confirmByMs }: State & { readonly at: "pending" }, monotonicMs: number): PolicyTrial {
  return { planHash: offer.accepted.planHash, nonce, confirmWithinMs: Math.max(0, confirmByMs - monotonicMs) };
}
