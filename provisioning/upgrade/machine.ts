// The upgrade of the device key: making -> requesting -> proving -> replacing -> removing. Pure:
// jitter arrives in events, effects leave as data. At every step until the warden has replaced the
// recorded key, the old key works; from then on the new one does. [ID-68]
import type { FaultCode } from "../../hal/fault.ts";
import type { Fingerprint, Protection } from "../../hal/format/identity.ts";
import { PROVE_MS, REFUSALS_MAX, REST_MS, RETRY_FIRST_MS, RETRY_MS_MAX, SLOW_RETRY_MS } from "./limits.ts";

/** What only a person at the hub can change. */
const SLOW: ReadonlySet<FaultCode> = new Set([
  "enrol.unauthorized",
  "enrol.denied",
  "enrol.revoked",
  "enrol.refused",
  "enrol.mismatch",
  "x509.invalid",
]);

/** What an order has granted. */
export interface Granted {
  /** The nonce of the order, which names it. */
  readonly order: string;
  readonly from: Fingerprint;
  readonly to: Protection;
}

/** One upgrade, as the record on disk has it. */
export interface Upgrade extends Granted {
  /** What keeps the key that is replaced. */
  readonly was: Protection;
  /** The new key, once it is made. */
  readonly made?: Fingerprint | undefined;
}

export type At = "making" | "requesting" | "proving" | "replacing" | "removing" | "abandoning";

export interface Active {
  readonly at: At;
  readonly upgrade: Upgrade;
  /** Failed attempts at this step in a row. */
  readonly failures: number;
  /** `enrol` after the authority has refused the certificate of the old key. */
  readonly way: "renew" | "enrol";
  /** While proving: the old key has its turn. */
  readonly isResting: boolean;
  /** While proving: how often the hub has refused the new certificate. */
  readonly refusals: number;
}

export type State = { readonly at: "idle" } | Active;

/** `jitter` is random in [0, 1). */
export type Event =
  /** What the warden says: the recorded key, and the grant for its replacement. */
  | {
      readonly kind: "looked";
      readonly recorded: { readonly protection: Protection; readonly keyFingerprint: Fingerprint };
      readonly granted: Granted | undefined;
    }
  /** The end of a wait, or the start of the program. */
  | { readonly kind: "go" }
  | { readonly kind: "key-ready"; readonly made: Fingerprint }
  /** The certificate of the new key was checked and stored. */
  | { readonly kind: "issued" }
  | { readonly kind: "later"; readonly retryAfterMs: number; readonly jitter: number }
  | { readonly kind: "failed"; readonly code: FaultCode; readonly jitter: number }
  /** The hub accepted a connection with the new key. */
  | { readonly kind: "accepted" }
  /** The hub refused a connection with the new key. */
  | { readonly kind: "rejected" }
  /** The hub refused a connection with the old key: it may have accepted the new one unheard. */
  | { readonly kind: "old-refused" }
  /** What an earlier step left is not there, or is another one. */
  | { readonly kind: "lost"; readonly what: "key" | "certificate" }
  | { readonly kind: "replaced" }
  /** What was to be removed is gone, durably. */
  | { readonly kind: "removed" };

export type Effect =
  | { readonly do: "make-key" } // find it, or make it
  | { readonly do: "request"; readonly way: Active["way"] }
  | { readonly do: "connect-with-new" }
  | { readonly do: "connect-with-old" }
  | { readonly do: "drop-certificate" }
  | { readonly do: "replace-record" }
  /** The certificate of the new key becomes the current one, then the old key goes. */
  | { readonly do: "remove-old" }
  /** The new key and its certificate go. */
  | { readonly do: "remove-new" }
  | { readonly do: "wait"; readonly forMs: number };

export interface Step {
  readonly state: State;
  /** In this order. None: what was awaited before still is. */
  readonly effects: readonly Effect[];
}

export const IDLE: State = { at: "idle" };

/** The state in which a start finds `upgrade` at its recorded step. */
export function restored(at: At, upgrade: Upgrade): Active {
  return { at, upgrade, failures: 0, way: "renew", isResting: false, refusals: 0 };
}

/**
 * @returns the state after `event`, and what the driver must do now. Never throws: an event that
 *   makes no sense in this state changes nothing.
 */
export function next(state: State, event: Event): Step {
  if (event.kind === "looked") return onLook(state, event);
  if (state.at === "idle") return same(state);
  switch (event.kind) {
    case "go":
      return state.at === "proving" ? turn(state, !state.isResting) : { state, effects: work(state) };
    case "key-ready":
      return state.at === "making"
        ? arrive("requesting", state, { upgrade: { ...state.upgrade, made: event.made } })
        : same(state);
    case "issued":
      return state.at === "requesting" ? arrive("proving", state, {}) : same(state);
    case "later":
      if (state.at !== "requesting") return same(state);
      return wait({ ...state, failures: 0 }, event.retryAfterMs * (1 + event.jitter / 10));
    case "failed":
      return onFailure(state, event.code, event.jitter);
    case "accepted":
      return state.at === "proving" ? arrive("replacing", state, {}) : same(state);
    case "rejected":
      return onRejection(state);
    case "old-refused":
      return state.at === "proving" && state.isResting ? turn(state, false) : same(state);
    case "lost":
      return onLoss(state, event.what);
    case "replaced":
      return state.at === "replacing" ? arrive("removing", state, {}) : same(state);
    case "removed":
      return state.at === "removing" || state.at === "abandoning" ? { state: IDLE, effects: [] } : same(state);
  }
}

/** The start of the program, for a state from the record: its step from the beginning. */
export function resume(state: State): Step {
  if (state.at === "idle") return same(state);
  return state.at === "proving" ? turn(state, false) : { state, effects: work(state) };
}

function onLook(state: State, { recorded, granted }: Extract<Event, { kind: "looked" }>): Step {
  if (state.at === "idle") {
    if (granted === undefined || granted.from !== recorded.keyFingerprint) return same(state);
    const begun = restored("making", { ...granted, was: recorded.protection });
    return { state: begun, effects: work(begun) };
  }
  const { upgrade, at } = state;
  // The warden's record decides: a cut may have come after it was replaced.
  if (upgrade.made !== undefined && upgrade.made === recorded.keyFingerprint)
    return at === "removing" ? same(state) : arrive("removing", state, {});
  // What the hub has accepted is not given up before the warden has been asked.
  if (at === "replacing" || at === "abandoning") return same(state);
  if (granted === undefined || recorded.keyFingerprint !== upgrade.from || granted.to !== upgrade.to)
    return arrive("abandoning", state, {});
  return { state: { ...state, upgrade: { ...upgrade, order: granted.order } }, effects: [] };
}

/** Both are made again. Once the hub has accepted the key, there is nothing to go back to. */
function onLoss(state: Active, what: "key" | "certificate"): Step {
  if (state.at !== "requesting" && state.at !== "proving") return same(state);
  const { made: _made, ...upgrade } = state.upgrade;
  const again = what === "key" ? arrive("making", state, { upgrade }) : arrive("requesting", state, {});
  return { state: again.state, effects: [{ do: "drop-certificate" }, { do: "connect-with-old" }, ...again.effects] };
}

function onFailure(state: Active, code: FaultCode, jitter: number): Step {
  const failed = { ...state, failures: state.failures + 1 };
  switch (state.at) {
    case "making":
      return wait(failed, code.startsWith("key.") ? slowMs(jitter) : retryMs(state.failures, jitter));
    case "requesting": {
      // The authority no longer takes the certificate of the old key. It may know the new one.
      const way = code === "enrol.unauthorized" && state.way === "renew" ? "enrol" : "renew";
      return wait(
        { ...failed, way },
        SLOW.has(code) || code.startsWith("key.") ? slowMs(jitter) : retryMs(state.failures, jitter),
      );
    }
    case "proving":
      return turn(failed, true); // the new key cannot be used now, and the old one can
    case "replacing":
      if (code === "birth.conflict" || code === "key.weaker") return arrive("abandoning", state, {});
      return wait(failed, retryMs(state.failures, jitter));
    case "removing":
    case "abandoning":
      return wait(failed, retryMs(state.failures, jitter));
  }
}

function onRejection(state: Active): Step {
  if (state.at !== "proving" || state.isResting) return same(state);
  const refusals = state.refusals + 1;
  if (refusals < REFUSALS_MAX) return turn({ ...state, refusals }, true);
  const again: Active = { ...state, at: "requesting", refusals: 0, isResting: false, failures: 0, way: "renew" };
  return {
    state: again,
    effects: [{ do: "drop-certificate" }, { do: "connect-with-old" }, { do: "wait", forMs: SLOW_RETRY_MS }],
  };
}

/** The two keys take turns, because only the hub knows which of them it accepts. */
function turn(state: Active, isResting: boolean): Step {
  return {
    state: { ...state, isResting },
    effects: isResting
      ? [{ do: "connect-with-old" }, { do: "wait", forMs: REST_MS }]
      : [{ do: "connect-with-new" }, { do: "wait", forMs: PROVE_MS }],
  };
}

function arrive(at: At, state: Active, change: Partial<Active>): Step {
  const arrived: Active = { ...state, failures: 0, refusals: 0, isResting: false, ...change, at };
  return at === "proving" ? turn(arrived, false) : { state: arrived, effects: work(arrived) };
}

function work({ at, way }: Active): readonly Effect[] {
  switch (at) {
    case "making":
      return [{ do: "make-key" }];
    case "requesting":
      return [{ do: "request", way }];
    case "proving":
      return [{ do: "connect-with-new" }];
    case "replacing":
      return [{ do: "replace-record" }];
    case "removing":
      return [{ do: "remove-old" }];
    case "abandoning":
      return [{ do: "connect-with-old" }, { do: "remove-new" }];
  }
}

function wait(state: Active, forMs: number): Step {
  return { state, effects: [{ do: "wait", forMs: Math.round(forMs) }] };
}

function retryMs(failures: number, jitter: number): number {
  return Math.min(RETRY_FIRST_MS * 2 ** Math.min(failures, 16), RETRY_MS_MAX) * (0.5 + jitter / 2);
}

function slowMs(jitter: number): number {
  return SLOW_RETRY_MS * (0.5 + jitter / 2);
}

function same(state: State): Step {
  return { state, effects: [] };
}
