// The life of the device certificate: fresh -> due -> renewing -> proving -> swapped (fresh again).
// Pure: time and jitter arrive in events, effects leave as data. The state is not stored: the
// certificates on disk say where to begin, so no record can disagree with them. [ID-9]
import type { FaultCode } from "../../hal/fault.ts";
import { RENEW_AT_LIFETIME_RATIO, RENEW_SPREAD_RATIO, RETRY_LIFETIME_RATIO, RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";

/** The validity of a certificate, Unix milliseconds. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export type State =
  | { readonly at: "fresh"; readonly current: Validity; readonly renewAtMs: number }
  /** A renewal failed or was postponed. The next attempt is at `retryAtMs`. */
  | { readonly at: "due"; readonly current: Validity; readonly retryAtMs: number; readonly attempt: number }
  | { readonly at: "renewing"; readonly current: Validity; readonly attempt: number }
  | { readonly at: "proving"; readonly current: Validity; readonly next: Validity }
  /**
   * The certificate is useless by our clock or by the hub's. Enrolment runs again with the same
   * key.
   */
  | { readonly at: "expired" };

/** `nowMs` is in Unix milliseconds, `jitter` is random in [0, 1). */
export type Event =
  /** From time to time, and only while the wall clock can be trusted. */
  | { readonly kind: "tick"; readonly nowMs: number }
  /** The certificate was checked and stored as `next`. */
  | { readonly kind: "issued"; readonly next: Validity }
  | { readonly kind: "later"; readonly nowMs: number; readonly retryAfterMs: number; readonly jitter: number }
  | { readonly kind: "failed"; readonly code: FaultCode; readonly nowMs: number; readonly jitter: number }
  /** The hub accepted a connection with `next`. */
  | { readonly kind: "proven"; readonly jitter: number }
  /** The hub refused a connection with `next`, while `current` works. */
  | { readonly kind: "rejected-by-hub"; readonly nowMs: number; readonly jitter: number };

export type Effect =
  | { readonly do: "request-renewal" }
  // a certificate counts only once the hub has accepted it [ID-9]
  | { readonly do: "connect-with-next" }
  | { readonly do: "swap-durably" }
  | { readonly do: "discard-next" }
  | { readonly do: "enrol-again" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** The first step, from the certificates in the store. */
export function start(current: Validity, next: Validity | undefined, jitter: number): Step {
  if (next === undefined) return { state: fresh(current, jitter), effects: [] };
  return { state: { at: "proving", current, next }, effects: [{ do: "connect-with-next" }] };
}

/**
 * @returns the state after `event`, and what the driver must do now. Never throws: an event that
 *   makes no sense in this state changes nothing.
 */
export function next(state: State, event: Event): Step {
  switch (event.kind) {
    case "tick":
      return onTick(state, event.nowMs);
    case "issued":
      if (state.at !== "renewing") return same(state);
      return {
        state: { at: "proving", current: state.current, next: event.next },
        effects: [{ do: "connect-with-next" }],
      };
    case "later":
      if (state.at !== "renewing") return same(state);
      // spread a little: otherwise all devices that got "in an hour" would come in the same second
      return due(state.current, event.nowMs + event.retryAfterMs * (1 + event.jitter / 10), state.attempt);
    case "failed":
      if (state.at !== "renewing") return same(state);
      // The hub's clock may say "expired" before ours does. The approval of id and fingerprint
      // stands, so enrolling again by key alone costs nothing. [ID-23]
      if (event.code === "enrol.unauthorized") return { state: { at: "expired" }, effects: [{ do: "enrol-again" }] };
      return due(state.current, event.nowMs + retryMs(state.current, event.jitter), state.attempt);
    case "proven":
      if (state.at !== "proving") return same(state);
      return { state: fresh(state.next, event.jitter), effects: [{ do: "swap-durably" }] };
    case "rejected-by-hub": {
      if (state.at !== "proving") return same(state);
      const { state: after } = due(state.current, event.nowMs + retryMs(state.current, event.jitter), 1);
      return { state: after, effects: [{ do: "discard-next" }] };
    }
  }
}

function onTick(state: State, nowMs: number): Step {
  if (state.at === "expired") return same(state);
  // While a next certificate is being proven, its end counts and not that of the one it replaces.
  const { notAfterMs } = state.at === "proving" ? state.next : state.current;
  if (nowMs >= notAfterMs) return { state: { at: "expired" }, effects: [{ do: "enrol-again" }] };
  if (state.at === "fresh" && nowMs >= state.renewAtMs) return renew(state.current, 1);
  // A clock that was set back must not make a wait longer than the longest wait.
  if (state.at === "due" && (nowMs >= state.retryAtMs || state.retryAtMs - nowMs > RETRY_MS_MAX))
    return renew(state.current, state.attempt + 1);
  return same(state);
}

function renew(current: Validity, attempt: number): Step {
  return { state: { at: "renewing", current, attempt }, effects: [{ do: "request-renewal" }] };
}

function due(current: Validity, retryAtMs: number, attempt: number): Step {
  return { state: { at: "due", current, retryAtMs, attempt }, effects: [] };
}

/** [ID-9] At 80 % of the lifetime and up to 4 % later, so that a fleet does not come at once. */
function fresh(current: Validity, jitter: number): State {
  const ratio = RENEW_AT_LIFETIME_RATIO + RENEW_SPREAD_RATIO * jitter;
  return { at: "fresh", current, renewAtMs: Math.round(current.notBeforeMs + lifetimeMs(current) * ratio) };
}

function retryMs(current: Validity, jitter: number): number {
  const bound = Math.min(Math.max(lifetimeMs(current) * RETRY_LIFETIME_RATIO, RETRY_MS_MIN), RETRY_MS_MAX);
  return Math.max(bound * (0.5 + jitter / 2), RETRY_MS_MIN);
}

function lifetimeMs(current: Validity): number {
  return current.notAfterMs - current.notBeforeMs;
}

function same(state: State): Step {
  return { state, effects: [] };
}
