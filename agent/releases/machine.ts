// What is done about releases, and when: one thing at a time. Pure: time (monotonic, milliseconds) and randomness ([0, 1)) arrive in events, effects leave as data.
import {
  BEGINNING_PERIOD_MS,
  BEGINNINGS_BURST_MAX,
  LOOK_EVERY_MS,
  LOOK_JITTER_MS,
  LOOK_RETRY_MS_MAX,
  LOOK_RETRY_MS_MIN,
  UPDATE_FAILURES_MAX,
  UPDATE_RETRY_MS_MAX,
  UPDATE_RETRY_MS_MIN,
} from "./limits.ts";

/** An update goes on step by step, so that between two stretches of a long one the policy is not forgotten. Without a target: what the warden is at. */
export type ReleaseJob = { readonly kind: "look" } | { readonly kind: "update"; readonly target: string | undefined };

interface PlannedUpdate {
  readonly target: string | undefined;
  readonly atMs: number;
  /** Since a step last got through. */
  readonly failures: number;
}

export interface State {
  readonly running: ReleaseJob | undefined;
  readonly look: { readonly atMs: number; readonly failures: number; /** Asked for while one ran. */ readonly again: boolean };
  readonly update: PlannedUpdate | undefined;
  /** The newest target that was pointed at meanwhile: one waits, not a queue. */
  readonly next: string | undefined;
  /** What was begun so far is paid for until then (GCRA, ITU-T I.371). */
  readonly paidUntilMs: number;
  readonly stopped: boolean;
}

/** How a step ended: `more` goes on after `afterMs`; `again` may pass by itself; `never` will not. */
export type JobOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "more"; readonly afterMs: number }
  | { readonly kind: "again" }
  | { readonly kind: "never" };

export type Event =
  | { readonly kind: "connected"; readonly nowMs: number }
  /** `repository.changed`. */
  | { readonly kind: "changed"; readonly nowMs: number }
  /** `update.start`. */
  | { readonly kind: "pointed"; readonly nowMs: number; readonly target: string }
  | { readonly kind: "woken"; readonly nowMs: number }
  | { readonly kind: "ended"; readonly nowMs: number; readonly random: number; readonly outcome: JobOutcome }
  | { readonly kind: "stop" };

export type Effect =
  | { readonly do: "run"; readonly job: ReleaseJob }
  /** Instead of any earlier one. */
  | { readonly do: "wake"; readonly inMs: number }
  /** The update is not gone on with by itself: say so. `instead`: it made way for this one. */
  | { readonly do: "give-up"; readonly target: string | undefined; readonly instead?: string }
  /** This target was pointed at and has to wait: say so; undefined: none waits any more. */
  | { readonly do: "waits"; readonly target: string | undefined };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** A program that starts settles first what is pending; it looks within a day although no tunnel comes up. */
export function start(nowMs: number, random: number): Step {
  const state: State = {
    running: undefined,
    look: { atMs: nowMs + nextLookMs(random), failures: 0, again: false },
    update: { target: undefined, atMs: nowMs, failures: 0 },
    next: undefined,
    paidUntilMs: Number.NEGATIVE_INFINITY,
    stopped: false,
  };
  return goOn(state, nowMs);
}

/** @returns the state after `event`, and what the driver must do now. Never throws: an event that makes no sense here changes nothing. */
export function next(state: State, event: Event): Step {
  if (state.stopped) return { state, effects: [] };
  switch (event.kind) {
    case "connected":
      return goOn(resume(lookSoon(state, event.nowMs), event.nowMs), event.nowMs);
    case "changed":
      return goOn(lookSoon(state, event.nowMs), event.nowMs);
    case "pointed":
      return after(pointed(state, event.target, event.nowMs), event.nowMs);
    case "woken":
      return goOn(state, event.nowMs);
    case "ended":
      return ended(state, event);
    case "stop":
      return { state: { ...state, stopped: true }, effects: [] };
  }
}

/** [OTA-42] Hints and connections begin as much as {@link BEGINNINGS_BURST_MAX} allows; what is planned for then already is not planned again. */
function paced(
  state: State,
  nowMs: number,
  plannedMs: number | undefined,
): { readonly atMs: number; readonly paidUntilMs: number } {
  const atMs = Math.max(nowMs, state.paidUntilMs - (BEGINNINGS_BURST_MAX - 1) * BEGINNING_PERIOD_MS);
  if (plannedMs !== undefined && plannedMs <= atMs) return { atMs: plannedMs, paidUntilMs: state.paidUntilMs };
  return { atMs, paidUntilMs: Math.max(atMs, state.paidUntilMs) + BEGINNING_PERIOD_MS };
}

function lookSoon(state: State, nowMs: number): State {
  if (state.running?.kind === "look") return { ...state, look: { ...state.look, again: true } };
  const { atMs, paidUntilMs } = paced(state, nowMs, state.look.atMs);
  return { ...state, paidUntilMs, look: { ...state.look, atMs } };
}

/** What was given up or waits for its turn may get through on a new connection. */
function resume(state: State, nowMs: number): State {
  if (state.running?.kind === "update") return state;
  return { ...state, update: { target: undefined, failures: 0, ...state.update, atMs: nowMs } };
}

/** [OTA-42] A second word about the same target only hurries it; another target waits until this one is over or does not get on. */
function pointed(state: State, target: string, nowMs: number): Step {
  const { update, running } = state;
  const isRunning = running?.kind === "update";
  if (update !== undefined && update.target === target) {
    const effects: readonly Effect[] = state.next === undefined ? [] : [{ do: "waits", target: undefined }];
    if (isRunning) return { state: { ...state, next: undefined }, effects };
    const { atMs, paidUntilMs } = paced(state, nowMs, update.atMs);
    return { state: { ...state, paidUntilMs, next: undefined, update: { ...update, atMs } }, effects };
  }
  const { atMs, paidUntilMs } = paced(state, nowMs, undefined);
  if (isRunning || (update !== undefined && update.failures === 0)) {
    // said only as often as something could be begun: hints without end are not to be reports without end
    if (state.next === target || atMs > nowMs) return { state: { ...state, next: target }, effects: [] };
    return { state: { ...state, next: target, paidUntilMs }, effects: [{ do: "waits", target }] };
  }
  const effects: readonly Effect[] = update === undefined ? [] : [{ do: "give-up", target: update.target, instead: target }];
  return { state: { ...state, paidUntilMs, next: undefined, update: { target, atMs, failures: 0 } }, effects };
}

/** What is done now, before what that leads to. */
function after({ state, effects }: Step, nowMs: number): Step {
  const step = goOn(state, nowMs);
  return { state: step.state, effects: [...effects, ...step.effects] };
}

function ended(state: State, event: Extract<Event, { kind: "ended" }>): Step {
  const { running } = state;
  if (running === undefined) return { state, effects: [] };
  const idle: State = { ...state, running: undefined };
  if (running.kind === "look") return goOn(lookEnded(idle, event), event.nowMs);
  return after(updateEnded(idle, event), event.nowMs);
}

/** Whatever is wrong with a repository may be put right: it is asked again, later each time. */
function lookEnded(state: State, { nowMs, random, outcome }: Extract<Event, { kind: "ended" }>): State {
  const failed = outcome.kind !== "done";
  const failures = failed ? state.look.failures + 1 : 0;
  const inMs = failed ? backOffMs(failures, random, LOOK_RETRY_MS_MIN, LOOK_RETRY_MS_MAX) : nextLookMs(random);
  const after: State = { ...state, look: { atMs: nowMs + inMs, failures, again: false } };
  return state.look.again ? lookSoon(after, nowMs) : after;
}

function updateEnded(state: State, { nowMs, random, outcome }: Extract<Event, { kind: "ended" }>): Step {
  const { update, next: waiting } = state;
  const target = update?.target;
  if (outcome.kind === "more")
    return { state: { ...state, update: { target, failures: 0, atMs: nowMs + outcome.afterMs } }, effects: [] };
  const failures = (update?.failures ?? 0) + 1;
  const givenUp = outcome.kind === "never" || (outcome.kind === "again" && failures >= UPDATE_FAILURES_MAX);
  if (outcome.kind === "again" && !givenUp && waiting === undefined) {
    const inMs = backOffMs(failures, random, UPDATE_RETRY_MS_MIN, UPDATE_RETRY_MS_MAX);
    return { state: { ...state, update: { target, failures, atMs: nowMs + inMs } }, effects: [] };
  }
  const instead = waiting === undefined ? {} : { instead: waiting };
  const effects: readonly Effect[] = outcome.kind === "done" ? [] : [{ do: "give-up", target, ...instead }];
  const over: State = { ...state, update: undefined, next: undefined };
  return { state: waiting === undefined ? over : pointed(over, waiting, nowMs).state, effects };
}

/** The next thing, if one is due; else when to look again. A look goes first: an update's metadata may be old. */
function goOn(state: State, nowMs: number): Step {
  const { running, look, update } = state;
  if (running !== undefined) return { state, effects: [] };
  if (look.atMs <= nowMs) return run(state, { kind: "look" });
  if (update !== undefined && update.atMs <= nowMs) return run(state, { kind: "update", target: update.target });
  return { state, effects: [{ do: "wake", inMs: Math.min(look.atMs, update?.atMs ?? look.atMs) - nowMs }] };
}

function run(state: State, job: ReleaseJob): Step {
  return { state: { ...state, running: job }, effects: [{ do: "run", job }] };
}

function nextLookMs(random: number): number {
  return LOOK_EVERY_MS - random * LOOK_JITTER_MS;
}

function backOffMs(failures: number, random: number, minMs: number, maxMs: number): number {
  return Math.min(minMs * 2 ** Math.min(failures - 1, 30), maxMs) * (0.5 + random / 2);
}
