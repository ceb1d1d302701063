// The state machine of an update. It is pure: the slot that booted, the boot loader's plan, the id
// of the boot and the uptime arrive in events, and effects leave as data. The driver makes a state
// durable before it runs an effect of that state. [OTA-35]
//
// | state         | event                          | next state   | effects               |
// | ------------- | ------------------------------ | ------------ | --------------------- |
// | idle *        | offered                        | fetching     | fetch                 |
// | fetching      | verified                       | verified     | write                 |
// | verified      | written                        | written      |                       |
// | written       | try                            | trying       | choose-try, reboot    |
// | trying        | started, trial slot            | trying, seen | check-health          |
// | trying        | started, other slot, not tried | trying       | choose-try, reboot    |
// | trying        | started, other slot, tried     | rolled-back  | boot choice, report   |
// | trying, seen  | health: all passed             | committing   | commit-choice         |
// | trying, seen  | health: failed; tick; revert   | rolling-back | cancel-choice, reboot |
// | committing    | choice-committed               | committed    | raise-floor, report   |
// | committing    | failed                         | rolling-back | cancel-choice, reboot |
// | committing    | started, other slot            | rolled-back  | boot choice, report   |
// | rolling-back  | started, other slot            | rolled-back  | boot choice, report   |
// | committed     | started, other slot            | rolled-back  | boot choice, report   |
// | up to written | failed; revert                 | failed       | report                |
// | trying        | failed; revert                 | failed       | cancel-choice, report |
//
// * Also committed, rolled-back and failed: a release that has ended leaves room for the next one.
// "Boot choice" is what makes the boot loader's choice agree with the slot that runs. A trial
// without checks commits at once. `started` in any other state repeats the effects of that state,
// so that a power cut loses none of them.
import { clip } from "../../hal/format/text.ts";
import { type BootPlan, otherSlot, type SlotName } from "../../hal/format/slots.ts";
import type { FloorCommit } from "../floor/index.ts";
import { DETAIL_CHARACTERS_MAX, QUARANTINED_MAX, TRIES_MAX } from "./limits.ts";
import type { HealthResult, Phase, Release, RollbackReason, State, Trial } from "./record.ts";

export type Event =
  /**
   * A release that signatures, audience and floor allow. `ordered`: an operator ordered it, so an
   * earlier rollback does not count against it.
   */
  | { readonly kind: "offered"; readonly release: Release; readonly ordered: boolean }
  /** Manifest and indexes are here and belong to the release. `slot` is not the running one. */
  | { readonly kind: "verified"; readonly slot: SlotName }
  /** Every part is in the slot, was synced and was read back. */
  | { readonly kind: "written" }
  /**
   * The trial may begin: every window and approval has been passed. All of `checks` must pass.
   * `bootId` is that of the boot that asks.
   */
  | { readonly kind: "try"; readonly checks: readonly string[]; readonly bootId: string }
  /** Fetching or writing failed for good, or the boot choice could not be written. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
  /**
   * The program runs after a boot or a restart, or it tries again what it left undone. `bootId`
   * changes with each boot and stays the same within one. `deadlineUptimeMs` is the deadline for a
   * trial of the running system. `ended` is what is known of the end of the boot before. [OTA-70]
   */
  | {
      readonly kind: "started";
      readonly slot: SlotName;
      readonly plan: BootPlan;
      readonly bootId: string;
      readonly deadlineUptimeMs: number;
      readonly ended?: "timer" | "watchdog" | undefined;
    }
  /** The result of one check. `failed` is final, `waiting` may still pass. */
  | { readonly kind: "health"; readonly result: HealthResult }
  | { readonly kind: "tick"; readonly uptimeMs: number }
  | { readonly kind: "revert"; readonly by: string }
  /** The boot choice now names the slot permanently. */
  | { readonly kind: "choice-committed" }
  /** The end of the update was reported. */
  | { readonly kind: "reported" };

export type Effect =
  | { readonly do: "fetch"; readonly release: Release }
  | { readonly do: "write"; readonly release: Release; readonly slot: SlotName }
  | { readonly do: "choose-try"; readonly slot: SlotName }
  | { readonly do: "commit-choice"; readonly slot: SlotName }
  /** Need not succeed before a reboot: the boot loader uses up one try with each boot. */
  | { readonly do: "cancel-choice" }
  | { readonly do: "reboot" }
  | { readonly do: "check-health"; readonly checks: readonly string[] }
  | { readonly do: "raise-floor"; readonly commit: FloorCommit }
  /**
   * Reports to the hub and to the audit trail how the update ended. The updater answers with
   * `reported` once it is done; otherwise the next start reports it again.
   */
  | { readonly do: "report"; readonly phase: Phase }
  | { readonly do: "refuse"; readonly release: Release; readonly why: "busy" | "quarantined" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** The state of a device that was never updated. */
export const START: State = { phase: { at: "idle" }, quarantined: [] };

/**
 * @returns the state after `event`, and what the driver must then do, in this order. Never throws:
 *   an event that makes no sense in this state changes nothing.
 */
export function next(state: State, event: Event): Step {
  const { phase } = state;
  switch (event.kind) {
    case "offered":
      return onOffered(state, event.release, event.ordered);
    case "verified":
      if (phase.at !== "fetching") return same(state);
      return to(state, { at: "verified", release: phase.release, slot: event.slot }, [
        { do: "write", release: phase.release, slot: event.slot },
      ]);
    case "written":
      if (phase.at !== "verified") return same(state);
      return to(state, { at: "written", release: phase.release, slot: phase.slot });
    case "try": {
      if (phase.at !== "written") return same(state);
      const trial: Trial = { tries: 1, bootId: event.bootId, seen: false, health: event.checks.map(waiting) };
      return to(state, { at: "trying", release: phase.release, slot: phase.slot, trial }, tryNow(phase.slot));
    }
    case "failed":
      return onFailed(state, event.code, event.message);
    case "started":
      return onStarted(state, event);
    case "health":
      return onHealth(state, event.result);
    case "tick":
      return onTick(state, event.uptimeMs);
    case "revert":
      return onRevert(state, event.by);
    case "choice-committed":
      if (phase.at !== "committing") return same(state);
      return committed(state, phase.release, phase.slot);
    case "reported":
      return state.untold === true ? to(state, phase) : same(state);
  }
}

/**
 * [OTA-62]
 * @returns why `release` needs an operator's order; undefined when no rollback counts against it.
 */
export function whyNotAgain({ quarantined }: State, { digest }: Pick<Release, "digest">): string | undefined {
  if (quarantined.some((known) => known.digest === digest)) return "it was rolled back before";
  return quarantined.length < QUARANTINED_MAX
    ? undefined
    : `${quarantined.length} releases were rolled back since the last commit`;
}

function onOffered(state: State, release: Release, ordered: boolean): Step {
  const { at } = state.phase;
  if (at !== "idle" && at !== "committed" && at !== "rolled-back" && at !== "failed")
    return { state, effects: [{ do: "refuse", release, why: "busy" }] };
  if (!ordered && whyNotAgain(state, release) !== undefined)
    return { state, effects: [{ do: "refuse", release, why: "quarantined" }] };
  return to(state, { at: "fetching", release }, [{ do: "fetch", release }]);
}

function onFailed(state: State, code: string, message: string): Step {
  const { phase } = state;
  const detail = clipDetail(`${code}: ${message}`);
  switch (phase.at) {
    case "fetching":
    case "verified":
    case "written":
      return ended(state, { at: "failed", release: phase.release, detail });
    case "trying": // the boot choice could not be written, so nothing was tried
      return phase.trial.seen
        ? same(state)
        : ended(state, { at: "failed", release: phase.release, detail }, [{ do: "cancel-choice" }]);
    case "committing":
      return rollBack(state, phase, { why: "commit-failed", detail });
    default:
      return same(state);
  }
}

type Started = Extract<Event, { kind: "started" }>;

/**
 * [OTA-35] After power-on or a restart of the program, the slot that really booted settles what was
 * pending.
 */
function onStarted(state: State, event: Started): Step {
  const { phase } = state;
  const { slot, plan } = event;
  switch (phase.at) {
    case "fetching":
      return { state, effects: [{ do: "fetch", release: phase.release }] };
    case "verified":
      return { state, effects: [{ do: "write", release: phase.release, slot: phase.slot }] };
    case "trying":
      return slot === phase.slot ? onTrialBooted(state, phase, event.deadlineUptimeMs) : onTrialNotBooted(state, phase, event);
    case "committing":
      if (slot === phase.slot) return { state, effects: [{ do: "commit-choice", slot }] };
      return fellBack(state, phase, slot, plan, { why: "interrupted", detail: "restarted before the commit was durable" });
    case "rolling-back":
      if (slot === phase.slot) return { state, effects: leave(phase.slot, plan) };
      return fellBack(state, phase, slot, plan, phase.reason);
    case "committed":
      // the floor is raised again: the power may have failed between the boot choice and the floor
      if (slot === phase.slot)
        return { state, effects: [{ do: "raise-floor", commit: commitOf(phase.release) }, ...unreported(state)] };
      return fellBack(state, phase, slot, plan, { why: "fell-back", detail: `the boot loader chose slot "${slot}"` });
    case "rolled-back":
    case "failed":
      return { state, effects: [...reconcile(phase, slot, plan), ...unreported(state)] };
    default:
      return same(state);
  }
}

type Trying = Extract<Phase, { at: "trying" }>;

/**
 * The deadline comes from the new system's own configuration. Its timer, which needs no Node, uses
 * the same value and must fire after the warden's deadline. A boot id that is in the record stays
 * there, but none is added: a system that wrote none could not read the record after a rollback.
 * [OTA-63]
 */
function onTrialBooted(state: State, phase: Trying, deadlineUptimeMs: number): Step {
  const checks = phase.trial.health.map(({ name }) => name);
  const trial: Trial = { ...phase.trial, seen: true, deadlineUptimeMs };
  if (checks.length === 0)
    return to(state, { at: "committing", release: phase.release, slot: phase.slot, health: [] }, [
      { do: "commit-choice", slot: phase.slot },
    ]);
  return to(state, { ...phase, trial }, [{ do: "check-health", checks }]);
}

function onTrialNotBooted(state: State, phase: Trying, { slot, plan, bootId, ended }: Started): Step {
  const { trial } = phase;
  const planned = plan.trial?.slot === phase.slot ? plan.trial : undefined;
  const retry = planned === undefined ? tryNow(phase.slot) : [{ do: "reboot" } as const];
  // The program was restarted, or the reboot could not be requested. Nothing was tried, so nothing
  // counts against the release.
  if (!trial.seen && trial.bootId === bootId) return { state, effects: retry };
  // The power failed before the boot choice was written, or before the reboot. A boot loader that
  // forgets, or that does not accept the kernel image and boots the other one without counting,
  // would look the same: hence the bound. [OTA-61]
  if (!trial.seen && planned?.used !== true && trial.tries < TRIES_MAX)
    return to(state, { ...phase, trial: { ...trial, tries: trial.tries + 1, bootId } }, retry);
  return fellBack(state, { ...phase, health: trial.health }, slot, plan, reasonOf(trial, planned, ended));
}

/** [OTA-70] [OTA-71] Nobody guesses: what nothing tells is not known. */
function reasonOf(trial: Trial, planned: BootPlan["trial"], ended: Started["ended"]): RollbackReason {
  if (!trial.seen && planned?.used === false)
    return { why: "not-booted", detail: "the boot loader was asked to try it and never did: is its kernel image valid?" };
  const how = trial.seen ? `it ran; ${summary(trial.health)}` : "it never started this program";
  switch (ended) {
    case "timer":
      return { why: "deadline", detail: clipDetail(`the system's own timer ended the trial; ${how}`) };
    case "watchdog":
      return { why: "interrupted", detail: clipDetail(`the hardware watchdog reset the machine; ${how}`) };
    default:
      return trial.seen
        ? { why: "interrupted", detail: clipDetail(`it restarted before it was committed, ${UNKNOWN_END}; ${how}`) }
        : { why: "not-booted", detail: clipDetail(`the boot loader tried it and fell back, ${UNKNOWN_END}; ${how}`) };
  }
}

const UNKNOWN_END = "why is not known (a power cut, a kernel that stopped, or a reset that nothing recorded)";

/** [OTA-60] */
function onHealth(state: State, result: HealthResult): Step {
  const { phase } = state;
  if (phase.at !== "trying" || !phase.trial.seen) return same(state);
  const clipped = { ...result, detail: clipDetail(result.detail) };
  const health = phase.trial.health.map((known) => (known.name === result.name ? clipped : known));
  if (health.some(({ verdict }) => verdict === "failed"))
    return rollBack(state, { ...phase, health }, { why: "unhealthy", detail: clipDetail(summary(health)) });
  if (health.every(({ verdict }) => verdict === "passed"))
    return to(state, { at: "committing", release: phase.release, slot: phase.slot, health }, [
      { do: "commit-choice", slot: phase.slot },
    ]);
  return to(state, { ...phase, trial: { ...phase.trial, health } });
}

/**
 * [OTA-60] Counts uptime, so that neither a clock nor a restart of the program can make a trial
 * longer.
 */
function onTick(state: State, uptimeMs: number): Step {
  const { phase } = state;
  if (phase.at !== "trying" || !phase.trial.seen || uptimeMs < phase.trial.deadlineUptimeMs) return same(state);
  const { health } = phase.trial;
  return rollBack(state, { ...phase, health }, { why: "deadline", detail: clipDetail(summary(health)) });
}

function onRevert(state: State, by: string): Step {
  const { phase } = state;
  const detail = clipDetail(`by ${by}`);
  switch (phase.at) {
    case "fetching":
    case "verified":
    case "written":
      return ended(state, { at: "failed", release: phase.release, detail: clipDetail(`cancelled ${detail}`) });
    case "trying":
      if (!phase.trial.seen)
        return ended(state, { at: "failed", release: phase.release, detail: clipDetail(`cancelled ${detail}`) }, [
          { do: "cancel-choice" },
        ]);
      return rollBack(state, { ...phase, health: phase.trial.health }, { why: "ordered", detail });
    default:
      return same(state);
  }
}

interface Attempt {
  readonly release: Release;
  readonly slot: SlotName;
  readonly health?: readonly HealthResult[];
}

/**
 * Leaves the slot under trial, which is running. A try that it has left is cancelled first. A
 * driver that cannot cancel it reboots all the same: each boot uses up one try. [OTA-63]
 */
function rollBack(state: State, { release, slot, health = [] }: Attempt, reason: RollbackReason): Step {
  return to(state, { at: "rolling-back", release, slot, reason, health: [...health] }, [
    { do: "cancel-choice" },
    { do: "reboot" },
  ]);
}

/**
 * Makes the boot choice agree with an end that is durable: the power may have failed between the
 * two.
 */
function reconcile({ at }: Phase, slot: SlotName, plan: BootPlan): readonly Effect[] {
  if (plan.committed === slot) return plan.trial === undefined ? [] : [{ do: "cancel-choice" }];
  if (plan.trial?.slot === slot) return leave(slot, plan); // cancelled, and booted all the same
  return at === "rolled-back" ? [{ do: "commit-choice", slot }] : [];
}

function unreported({ phase, untold }: State): readonly Effect[] {
  return untold === true ? [{ do: "report", phase }] : [];
}

/**
 * The slot booted once more although it must be left: a commit that failed may have reached the
 * disk after all.
 */
function leave(slot: SlotName, plan: BootPlan): readonly Effect[] {
  const back: Effect = plan.committed === slot ? { do: "commit-choice", slot: otherSlot(slot) } : { do: "cancel-choice" };
  return [back, { do: "reboot" }];
}

/** The other slot runs: the update is rolled back, and the boot choice is made to agree. */
function fellBack(
  state: State,
  { release, health = [] }: Attempt,
  running: SlotName,
  plan: BootPlan,
  reason: RollbackReason,
): Step {
  const settle: readonly Effect[] =
    plan.committed !== running
      ? [{ do: "commit-choice", slot: running }]
      : plan.trial === undefined
        ? []
        : [{ do: "cancel-choice" }];
  const { digest, line, counter } = release;
  const others = state.quarantined.filter((known) => known.digest !== digest);
  const quarantined = [...others, { digest, line, counter }].slice(-QUARANTINED_MAX);
  return ended({ ...state, quarantined }, { at: "rolled-back", release, reason, health: [...health] }, settle);
}

/**
 * A commit ends the quarantine of releases of its line that are no newer: they need an order in any
 * case. [OTA-66]
 */
function committed(state: State, release: Release, slot: SlotName): Step {
  const quarantined = state.quarantined.filter(
    ({ digest, line, counter }) => digest !== release.digest && (line !== release.line || counter > release.counter),
  );
  return ended({ ...state, quarantined }, { at: "committed", release, slot }, [{ do: "raise-floor", commit: commitOf(release) }]);
}

function commitOf({ line, counter, floorAfterCommit }: Release): FloorCommit {
  return { line, counter, floor: floorAfterCommit };
}

function tryNow(slot: SlotName): readonly Effect[] {
  return [{ do: "choose-try", slot }, { do: "reboot" }];
}

function waiting(name: string): HealthResult {
  return { name, verdict: "waiting", detail: "" };
}

function summary(health: readonly HealthResult[]): string {
  const open = health.filter(({ verdict }) => verdict !== "passed");
  return (
    open.map(({ name, verdict, detail }) => `${name} ${verdict}${detail === "" ? "" : ` (${detail})`}`).join(", ") ||
    "every check passed"
  );
}

function clipDetail(text: string): string {
  return clip(text, DETAIL_CHARACTERS_MAX);
}

function ended(state: State, phase: Phase, effects: readonly Effect[] = []): Step {
  return { state: { ...to(state, phase).state, untold: true }, effects: [...effects, { do: "report", phase }] };
}

function to({ quarantined }: State, phase: Phase, effects: readonly Effect[] = []): Step {
  return { state: { phase, quarantined }, effects };
}

function same(state: State): Step {
  return { state, effects: [] };
}
