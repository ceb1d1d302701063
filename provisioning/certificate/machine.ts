// The life of the device certificate: fresh -> due -> renewing -> proving -> swapped (fresh again).
// Pure: time and jitter arrive in events, effects leave as data. The state is not stored: the
// certificates on disk say where to begin, so no record can disagree with them. [ID-9]
import type { FaultCode } from "../../hal/fault.ts";
import {
  CLOCK_SKEW_MS,
  RENEW_AT_LIFETIME_RATIO,
  RENEW_GAP_RATIO,
  RENEW_SPREAD_RATIO,
  RETRY_LIFETIME_RATIO,
  RETRY_MS_MAX,
  RETRY_MS_MIN,
} from "./limits.ts";

/** The validity of a certificate, Unix milliseconds. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /**
   * When this device received it. An authority may backdate notBefore by more than the whole life,
   * so the life counts from here. Undefined when it is not known: then the life counts from the
   * first tick, which renews later than necessary but never too often, and never after the end.
   */
  readonly receivedMs?: number | undefined;
}

export type State =
  | { readonly at: "fresh"; readonly current: Validity; readonly renewAtMs: number; readonly jitter: number }
  /** A renewal failed or was postponed. The next attempt is at `retryAtMs`, after `waitMs`. */
  | {
      readonly at: "due";
      readonly current: Validity;
      readonly retryAtMs: number;
      readonly waitMs: number;
      readonly attempt: number;
      readonly refused?: true;
    }
  /** `refused`: only because the hub refused `current`; see the event `refused-by-hub`. */
  | { readonly at: "renewing"; readonly current: Validity; readonly attempt: number; readonly refused?: true }
  | { readonly at: "proving"; readonly current: Validity; readonly next: Validity }
  /**
   * The certificate is useless by our clock or by the hub's. Enrolment runs again with the same
   * key.
   */
  | { readonly at: "expired" };

/** `nowMs` is in Unix milliseconds, `jitter` is random in [0, 1). */
export type Event =
  /**
   * From time to time, and only while the wall clock can be trusted.
   * `isSure`: the hub has set this clock, and is not connected by this certificate.
   * `isContradicted`: the hub has not set it, and is connected by this certificate.
   */
  | { readonly kind: "tick"; readonly nowMs: number; readonly isSure?: boolean; readonly isContradicted?: boolean }
  /** The hub refused connections with `current` again and again. [TUN-71] */
  | { readonly kind: "refused-by-hub"; readonly nowMs: number }
  /** The hub accepted a connection with `current`. */
  | { readonly kind: "accepted-by-hub"; readonly jitter: number }
  /** The certificate was checked and stored as `next`. */
  | { readonly kind: "issued"; readonly next: Validity }
  | { readonly kind: "later"; readonly nowMs: number; readonly retryAfterMs: number; readonly jitter: number }
  | { readonly kind: "failed"; readonly code: FaultCode; readonly nowMs: number; readonly jitter: number }
  /** The hub accepted a connection with `next`. */
  | { readonly kind: "proven"; readonly jitter: number }
  /** The hub refused a connection with `next`, while `current` works. */
  | { readonly kind: "rejected-by-hub"; readonly nowMs: number; readonly jitter: number };

export type Effect =
  /** It was not known when the current certificate was received; from now on it is `atMs`. */
  | { readonly do: "record-receipt"; readonly atMs: number }
  | { readonly do: "request-renewal" }
  /** The certificate begins later than this clock says, which may be wrong. [TUN-72] */
  | { readonly do: "ask-time" }
  // a certificate counts only once the hub has accepted it [ID-9]
  | { readonly do: "connect-with-next" }
  | { readonly do: "swap-durably" }
  | { readonly do: "discard-next" }
  | { readonly do: "enrol-again" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/**
 * The first step, from the certificates in the store.
 * @param lastReceivedMs when the newest certificate was received, one that was discarded included.
 */
export function start(current: Validity, next: Validity | undefined, jitter: number, lastReceivedMs?: number): Step {
  if (next === undefined) return { state: fresh(current, jitter, lastReceivedMs), effects: [] };
  return { state: { at: "proving", current, next }, effects: [{ do: "connect-with-next" }] };
}

/**
 * @returns the state after `event`, and what the driver must do now. Never throws: an event that
 *   makes no sense in this state changes nothing.
 */
export function next(state: State, event: Event): Step {
  switch (event.kind) {
    case "tick":
      return onTick(state, event);
    case "refused-by-hub":
      if (state.at !== "fresh" && state.at !== "due") return same(state);
      if (isEarly(state.current, event.nowMs)) return lost();
      return {
        state: { at: "renewing", current: state.current, attempt: 1, refused: true },
        effects: [{ do: "request-renewal" }],
      };
    case "accepted-by-hub":
      return state.at === "due" && state.refused === true
        ? { state: fresh(state.current, event.jitter), effects: [] }
        : same(state);
    case "issued":
      if (state.at !== "renewing") return same(state);
      return {
        state: { at: "proving", current: state.current, next: event.next },
        effects: [{ do: "connect-with-next" }],
      };
    case "later":
      if (state.at !== "renewing") return same(state);
      // spread a little: otherwise all devices that got "in an hour" would come in the same second
      return due(state, event.nowMs, event.retryAfterMs * (1 + event.jitter / 10), state.attempt);
    case "failed":
      if (state.at !== "renewing") return same(state);
      // The hub's clock may say "expired" before ours does. The approval of id and fingerprint
      // stands, so enrolling again by key alone costs nothing. [ID-23]
      if (event.code === "enrol.unauthorized" || event.code === "enrol.revoked") return lost();
      return due(state, event.nowMs, failedMs(state.current, event.code, event.jitter), state.attempt);
    case "proven":
      if (state.at !== "proving") return same(state);
      return { state: fresh(state.next, event.jitter), effects: [{ do: "swap-durably" }] };
    case "rejected-by-hub": {
      if (state.at !== "proving") return same(state);
      const waitMs = Math.max(retryMs(state.current, event.jitter), gapMs(state.current));
      const { state: after } = due({ current: state.current }, event.nowMs, waitMs, 1);
      return { state: after, effects: [{ do: "discard-next" }] };
    }
  }
}

function onTick(state: State, { nowMs, isSure, isContradicted }: Extract<Event, { kind: "tick" }>): Step {
  if (state.at === "expired") return same(state);
  // While a next certificate is being proven, its end counts and not that of the one it replaces.
  const { notAfterMs } = state.at === "proving" ? state.next : state.current;
  // [TUN-73] Whoever accepts it at present knows better than a clock that somebody has stepped. A
  // renewal is asked for as at any late time: if it is over, the authority says so.
  if (nowMs >= notAfterMs && isContradicted !== true) return lost();
  if ((state.at === "fresh" || state.at === "due") && isEarly(state.current, nowMs))
    return isSure === true ? lost() : { state, effects: [{ do: "ask-time" }] };
  if (state.at === "fresh") {
    const { current, jitter } = state;
    const { receivedMs, notAfterMs: endMs } = current;
    // Not known, or by a clock that was far ahead.
    if (receivedMs === undefined || receivedMs >= endMs)
      return { state: fresh({ ...current, receivedMs: nowMs }, jitter), effects: [{ do: "record-receipt", atMs: nowMs }] };
    // A receipt that lies ahead, because the clock was set back, stays: with this moment in its
    // place 80 % of the life would be past as soon as the clock is right again.
    return nowMs >= state.renewAtMs ? renew(current, 1) : same(state);
  }
  // A clock that was set back must not make a wait longer.
  if (state.at === "due" && (nowMs >= state.retryAtMs || state.retryAtMs - nowMs > state.waitMs))
    return renew(state.current, state.attempt + 1);
  return same(state);
}

/** Enrolment by id and key alone: their approval stands. [ID-23] */
function lost(): Step {
  return { state: { at: "expired" }, effects: [{ do: "enrol-again" }] };
}

/** [TUN-72] It was issued by a clock that was ahead, or this clock was set back. */
function isEarly({ notBeforeMs }: Validity, nowMs: number): boolean {
  return nowMs + CLOCK_SKEW_MS < notBeforeMs;
}

function renew(current: Validity, attempt: number): Step {
  return { state: { at: "renewing", current, attempt }, effects: [{ do: "request-renewal" }] };
}

function due(
  { current, refused }: { readonly current: Validity; readonly refused?: true },
  nowMs: number,
  waitMs: number,
  attempt: number,
): Step {
  const because = refused === undefined ? {} : { refused };
  return { state: { at: "due", current, retryAtMs: nowMs + waitMs, waitMs, attempt, ...because }, effects: [] };
}

/**
 * [ID-9] At 80 % of the lifetime and up to 4 % later, so that a fleet does not come at once. Later
 * still when another certificate was received, and discarded, less than a tenth of the life before;
 * less than a twentieth near the end, so that the device need not be without one.
 */
function fresh(current: Validity, jitter: number, lastReceivedMs?: number): State {
  const ratio = RENEW_AT_LIFETIME_RATIO + RENEW_SPREAD_RATIO * jitter;
  const dueMs = current.notAfterMs - lifetimeMs(current) * (1 - ratio);
  const [lastMs, gap] = [lastReceivedMs ?? 0, gapMs(current)];
  const gapEndsMs = Math.min(lastMs + gap, Math.max(current.notAfterMs - gap / 2, lastMs + gap / 2));
  return { at: "fresh", current, jitter, renewAtMs: Math.round(Math.max(dueMs, gapEndsMs)) };
}

/** What the authority issued and this device refused counts as issued: it waits for the gap. */
function failedMs(current: Validity, code: FaultCode, jitter: number): number {
  const isIssued = code === "enrol.mismatch" || code === "x509.invalid";
  return Math.max(retryMs(current, jitter), isIssued ? gapMs(current) : 0);
}

/** [ID-9] Between two certificates. */
function gapMs(current: Validity): number {
  return lifetimeMs(current) * RENEW_GAP_RATIO;
}

function retryMs(current: Validity, jitter: number): number {
  const bound = Math.min(Math.max(lifetimeMs(current) * RETRY_LIFETIME_RATIO, RETRY_MS_MIN), RETRY_MS_MAX);
  return Math.max(bound * (0.5 + jitter / 2), RETRY_MS_MIN);
}

function lifetimeMs({ notBeforeMs, notAfterMs, receivedMs }: Validity): number {
  return notAfterMs - (receivedMs ?? notBeforeMs);
}

function same(state: State): Step {
  return { state, effects: [] };
}
