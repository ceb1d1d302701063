// The state machine of the work on releases: what is done next, one job at a time. Pure: time
// (monotonic, milliseconds) and randomness ([0, 1)) arrive in events, effects leave as data.
import {
  CHECK_EVERY_MS,
  CHECK_JITTER_MS,
  CHECK_RETRY_MS_MAX,
  CHECK_RETRY_MS_MIN,
  DAMAGED_FAILURES_MAX,
  START_PERIOD_MS,
  STARTS_BURST_MAX,
  UPDATE_FAILURES_MAX,
  UPDATE_RETRY_MS_MAX,
  UPDATE_RETRY_MS_MIN,
} from "./limits.ts";

/**
 * `check`: of the repository. `update`: one step of an update, so that a check can run between two
 * ranges of a long one. Without a target it is the release that the warden has.
 */
export type ReleaseJob = { readonly kind: "check" } | { readonly kind: "update"; readonly target: string | undefined };

interface PlannedCheck {
  readonly atMs: number;
  readonly failures: number;
  /** Another one was requested while one ran. */
  readonly repeat: boolean;
}

interface PlannedUpdate {
  readonly target: string | undefined;
  readonly atMs: number;
  /** Since a step last got through. */
  readonly failures: number;
  /** Those of them with a damaged copy in a repository that was itself. [OTA-78] */
  readonly damaged: number;
}

export interface State {
  readonly running: ReleaseJob | undefined;
  readonly check: PlannedCheck;
  readonly update: PlannedUpdate | undefined;
  /** The target of the newest hint that could not start yet. There is one place, not a queue. */
  readonly waiting: string | undefined;
  /** Theoretical arrival time of the next start (GCRA, ITU-T I.371). */
  readonly arrivalAtMs: number;
  readonly stopped: boolean;
}

/**
 * How a job ended. `continue`: the next step follows after `afterMs`. `retry`: it failed, and
 * another attempt may succeed. `failed`: no other attempt will.
 */
export type JobOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "continue"; readonly afterMs: number }
  /** `notBeforeMs`: the other side asked for this much time. [OTA-77] */
  | { readonly kind: "retry"; readonly notBeforeMs?: number; readonly isDamagedCopy?: boolean }
  | { readonly kind: "failed" };

export type Event =
  | { readonly kind: "connected"; readonly nowMs: number }
  /** The hub sent `repository.changed`. */
  | { readonly kind: "repository-changed"; readonly nowMs: number }
  /** The hub sent `update.start`. */
  | { readonly kind: "update-hinted"; readonly nowMs: number; readonly target: string }
  | { readonly kind: "timer"; readonly nowMs: number }
  | { readonly kind: "job-ended"; readonly nowMs: number; readonly random: number; readonly outcome: JobOutcome }
  | { readonly kind: "stop" };

export type Effect =
  | { readonly do: "run"; readonly job: ReleaseJob }
  /** Replaces any earlier timer. */
  | { readonly do: "set-timer"; readonly inMs: number }
  /** The agent stops its attempts at this update. `instead`: the target that takes its place. */
  | { readonly do: "give-up"; readonly target: string | undefined; readonly instead?: string }
  /** A hint for this target has to wait; undefined: none waits any more. */
  | { readonly do: "report-waiting"; readonly target: string | undefined };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/**
 * @returns the first state and effects: a pending update is continued first, and the repository is
 *   checked within a day even if no tunnel comes up.
 */
export function start(nowMs: number, random: number): Step {
  const state: State = {
    running: undefined,
    check: { atMs: nowMs + nextCheckInMs(random), failures: 0, repeat: false },
    update: { target: undefined, atMs: nowMs, failures: 0, damaged: 0 },
    waiting: undefined,
    arrivalAtMs: Number.NEGATIVE_INFINITY,
    stopped: false,
  };
  return proceed(state, nowMs);
}

/**
 * @returns the state after `event`, and what the driver must do now. Never throws: an event that
 *   makes no sense here changes nothing.
 */
export function next(state: State, event: Event): Step {
  if (state.stopped) return { state, effects: [] };
  switch (event.kind) {
    case "connected":
      return proceed(resume(planCheck(state, event.nowMs), event.nowMs), event.nowMs);
    case "repository-changed":
      return proceed(planCheck(state, event.nowMs), event.nowMs);
    case "update-hinted":
      return thenProceed(hinted(state, event.target, event.nowMs), event.nowMs);
    case "timer":
      return proceed(state, event.nowMs);
    case "job-ended":
      return jobEnded(state, event);
    case "stop":
      return { state: { ...state, stopped: true }, effects: [] };
  }
}

/**
 * [OTA-42] Limits the starts by hints and connections to {@link STARTS_BURST_MAX}.
 * @param plannedAtMs a job that is planned for no later time already costs nothing more.
 */
function limited(
  state: State,
  nowMs: number,
  plannedAtMs: number | undefined,
): { readonly atMs: number; readonly arrivalAtMs: number } {
  const atMs = Math.max(nowMs, state.arrivalAtMs - (STARTS_BURST_MAX - 1) * START_PERIOD_MS);
  if (plannedAtMs !== undefined && plannedAtMs <= atMs) return { atMs: plannedAtMs, arrivalAtMs: state.arrivalAtMs };
  return { atMs, arrivalAtMs: Math.max(atMs, state.arrivalAtMs) + START_PERIOD_MS };
}

function planCheck(state: State, nowMs: number): State {
  if (state.running?.kind === "check") return { ...state, check: { ...state.check, repeat: true } };
  const { atMs, arrivalAtMs } = limited(state, nowMs, state.check.atMs);
  return { ...state, arrivalAtMs, check: { ...state.check, atMs } };
}

/** An update that was given up or waits to be retried may get through on a new connection. */
function resume(state: State, nowMs: number): State {
  if (state.running?.kind === "update") return state;
  return { ...state, update: { target: undefined, failures: 0, damaged: 0, ...state.update, atMs: nowMs } };
}

/**
 * [OTA-42] A second hint for the same target only makes it sooner. Another target waits until the
 * present update is over or makes no progress.
 */
function hinted(state: State, target: string, nowMs: number): Step {
  const { update, running } = state;
  const isRunning = running?.kind === "update";
  if (update !== undefined && update.target === target) {
    const effects: readonly Effect[] = state.waiting === undefined ? [] : [{ do: "report-waiting", target: undefined }];
    if (isRunning) return { state: { ...state, waiting: undefined }, effects };
    const { atMs, arrivalAtMs } = limited(state, nowMs, update.atMs);
    return { state: { ...state, arrivalAtMs, waiting: undefined, update: { ...update, atMs } }, effects };
  }
  const { atMs, arrivalAtMs } = limited(state, nowMs, undefined);
  if (isRunning || (update !== undefined && update.failures === 0)) {
    // Reports are limited like starts: hints without end must not cause reports without end.
    if (state.waiting === target || atMs > nowMs) return { state: { ...state, waiting: target }, effects: [] };
    return { state: { ...state, waiting: target, arrivalAtMs }, effects: [{ do: "report-waiting", target }] };
  }
  const effects: readonly Effect[] = update === undefined ? [] : [{ do: "give-up", target: update.target, instead: target }];
  return { state: { ...state, arrivalAtMs, waiting: undefined, update: { target, atMs, failures: 0, damaged: 0 } }, effects };
}

/** Keeps the effects of `step` in front of those of the next job. */
function thenProceed({ state, effects }: Step, nowMs: number): Step {
  const step = proceed(state, nowMs);
  return { state: step.state, effects: [...effects, ...step.effects] };
}

function jobEnded(state: State, event: Extract<Event, { kind: "job-ended" }>): Step {
  const { running } = state;
  if (running === undefined) return { state, effects: [] };
  const idle: State = { ...state, running: undefined };
  if (running.kind === "check") return proceed(checkEnded(idle, event), event.nowMs);
  return thenProceed(updateEnded(idle, event), event.nowMs);
}

/**
 * Any fault of a repository may be corrected: it is checked again, after longer and longer waits.
 */
function checkEnded(state: State, { nowMs, random, outcome }: Extract<Event, { kind: "job-ended" }>): State {
  const isFailed = outcome.kind !== "done";
  const failures = isFailed ? state.check.failures + 1 : 0;
  const inMs = isFailed
    ? Math.max(backOffMs(failures, random, CHECK_RETRY_MS_MIN, CHECK_RETRY_MS_MAX), notBeforeMs(outcome))
    : nextCheckInMs(random);
  const after: State = { ...state, check: { atMs: nowMs + inMs, failures, repeat: false } };
  return state.check.repeat ? planCheck(after, nowMs) : after;
}

function updateEnded(state: State, { nowMs, random, outcome }: Extract<Event, { kind: "job-ended" }>): Step {
  const { update, waiting } = state;
  const target = update?.target;
  if (outcome.kind === "continue")
    return { state: { ...state, update: { target, failures: 0, damaged: 0, atMs: nowMs + outcome.afterMs } }, effects: [] };
  const failures = (update?.failures ?? 0) + 1;
  const damaged = (update?.damaged ?? 0) + (outcome.kind === "retry" && outcome.isDamagedCopy === true ? 1 : 0);
  const isWorthIt = failures < UPDATE_FAILURES_MAX && damaged < DAMAGED_FAILURES_MAX;
  if (outcome.kind === "retry" && isWorthIt && waiting === undefined) {
    const inMs = Math.max(backOffMs(failures, random, UPDATE_RETRY_MS_MIN, UPDATE_RETRY_MS_MAX), notBeforeMs(outcome));
    return { state: { ...state, update: { target, failures, damaged, atMs: nowMs + inMs } }, effects: [] };
  }
  const instead = waiting === undefined ? {} : { instead: waiting };
  const effects: readonly Effect[] = outcome.kind === "done" ? [] : [{ do: "give-up", target, ...instead }];
  const over: State = { ...state, update: undefined, waiting: undefined };
  return { state: waiting === undefined ? over : hinted(over, waiting, nowMs).state, effects };
}

/**
 * Runs the next job that is due, or sets the timer. A check goes first: the metadata of an update
 * may be old.
 */
function proceed(state: State, nowMs: number): Step {
  const { running, check, update } = state;
  if (running !== undefined) return { state, effects: [] };
  if (check.atMs <= nowMs) return run(state, { kind: "check" });
  if (update !== undefined && update.atMs <= nowMs) return run(state, { kind: "update", target: update.target });
  return { state, effects: [{ do: "set-timer", inMs: Math.min(check.atMs, update?.atMs ?? check.atMs) - nowMs }] };
}

function run(state: State, job: ReleaseJob): Step {
  return { state: { ...state, running: job }, effects: [{ do: "run", job }] };
}

function notBeforeMs(outcome: JobOutcome): number {
  return outcome.kind === "retry" ? (outcome.notBeforeMs ?? 0) : 0;
}

function nextCheckInMs(random: number): number {
  return CHECK_EVERY_MS - random * CHECK_JITTER_MS;
}

function backOffMs(failures: number, random: number, minMs: number, maxMs: number): number {
  return Math.min(minMs * 2 ** Math.min(failures - 1, 30), maxMs) * (0.5 + random / 2);
}
