// The states of enrolment: blank -> keyed -> requested -> enrolled. Pure: jitter arrives in events,
// effects leave as data. The artefacts themselves (key, request, certificate) say where to begin,
// so a run continues after a crash at any point and no second record can disagree. [ID-7]
import type { FaultCode } from "../../hal/fault.ts";
import { BACKOFF_FIRST_MS, BACKOFF_MS_MAX, BACKOFF_MS_MIN, DENIED_RETRY_MS, RETRY_AFTER_SPREAD_RATIO } from "./limits.ts";

export type State = {
  readonly at: "blank" | "keyed" | "requested" | "enrolled";
  /** Failed attempts at this step in a row. An answer that says to wait is not a failure. */
  readonly failures: number;
};

/** `jitter` is random in [0, 1). */
export type Event =
  /** The start, or the end of a wait. */
  | { readonly kind: "go" }
  | { readonly kind: "key-ready" }
  | { readonly kind: "request-ready" }
  /** The certificate was checked [ID-8] and stored. */
  | { readonly kind: "certificate-ready" }
  /** The authority says when to ask again. */
  | { readonly kind: "later"; readonly retryAfterMs: number; readonly jitter: number }
  | { readonly kind: "failed"; readonly code: FaultCode; readonly jitter: number };

export type Effect =
  | { readonly do: "settle-key" } // find it, or make it once [ID-6]
  | { readonly do: "settle-request" } // find it, or make it for this key
  | { readonly do: "ask" }
  | { readonly do: "wait"; readonly forMs: number };

export interface Step {
  readonly state: State;
  readonly effect: Effect | undefined;
}

export const BLANK: State = { at: "blank", failures: 0 };

/**
 * @returns the state after `event`, and what the driver must do now; no effect once enrolled. Never
 *   throws: an event that makes no sense in this state changes nothing.
 */
export function next(state: State, event: Event): Step {
  switch (event.kind) {
    case "go":
      return { state, effect: work(state) };
    case "key-ready":
      return state.at === "blank" ? arrive("keyed") : unchanged(state);
    case "request-ready":
      return state.at === "keyed" ? arrive("requested") : unchanged(state);
    case "certificate-ready":
      // also from "keyed": the certificate of an earlier run may still be valid
      return state.at === "keyed" || state.at === "requested" ? arrive("enrolled") : unchanged(state);
    case "later":
      if (state.at !== "requested") return unchanged(state);
      return {
        state: { ...state, failures: 0 },
        effect: { do: "wait", forMs: event.retryAfterMs * (1 + RETRY_AFTER_SPREAD_RATIO * event.jitter) },
      };
    case "failed":
      if (state.at === "enrolled") return unchanged(state);
      return {
        state: { ...state, failures: state.failures + 1 },
        effect: { do: "wait", forMs: retryMs(event.code, state.failures, event.jitter) },
      };
  }
}

function work(state: State): Effect | undefined {
  switch (state.at) {
    case "blank":
      return { do: "settle-key" };
    case "keyed":
      return { do: "settle-request" };
    case "requested":
      return { do: "ask" };
    case "enrolled":
      return undefined;
  }
}

function arrive(at: State["at"]): Step {
  const state: State = { at, failures: 0 };
  return { state, effect: work(state) };
}

function unchanged(state: State): Step {
  return { state, effect: undefined };
}

/**
 * After a refusal by a person the device asks slowly. Everything else is retried with full jitter
 * between 1 s and a bound that doubles from 2 s to 300 s.
 */
function retryMs(code: FaultCode, failures: number, jitter: number): number {
  if (code === "enrol.unauthorized" || code === "enrol.denied" || code === "enrol.revoked")
    return DENIED_RETRY_MS * (0.5 + jitter / 2);
  const bound = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(failures, 16), BACKOFF_MS_MAX);
  return BACKOFF_MS_MIN + (bound - BACKOFF_MS_MIN) * jitter;
}
