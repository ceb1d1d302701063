// The life of an update, in the warden: idle -> fetching -> verified -> written -> trying -> committed | rolled-back. Pure: the boot's slot, the boot loader's
// plan, the boot's id and the uptime arrive in events, effects leave as data. The driver makes the state durable before it runs an effect of it. [OTA-35]
import { type BootPlan, otherSlot, type SlotName } from "../../hal/format/slots.ts";
import type { FloorCommit } from "../floor/index.ts";
import { DETAIL_CHARACTERS_MAX, QUARANTINED_MAX, TRIES_MAX } from "./limits.ts";
import type { HealthResult, Phase, Release, RollbackReason, State, Trial } from "./record.ts";

export type Event =
  /** Judged by signatures, audience and floor already. `ordered`: an operator's order stands behind it, so a rollback before does not count against it. */
  | { readonly kind: "offered"; readonly release: Release; readonly ordered: boolean }
  /** Manifest and indexes are here and are the release's. `slot` does not run. */
  | { readonly kind: "verified"; readonly slot: SlotName }
  /** Every part is in the slot, synced and read back. */
  | { readonly kind: "written" }
  /** Now: windows and approvals are behind us. `checks` are all to pass. `bootId`: of the boot that asks. */
  | { readonly kind: "try"; readonly checks: readonly string[]; readonly bootId: string }
  /** Fetching or writing went wrong for good, or the boot choice could not be written. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
  /**
   * The program runs, after a boot or a restart, or looks again at what it left undone. `bootId`: another one after each boot, the same within one.
   * `deadlineUptimeMs`: of a trial of the system that runs.
   */
  | {
      readonly kind: "started";
      readonly slot: SlotName;
      readonly plan: BootPlan;
      readonly bootId: string;
      readonly deadlineUptimeMs: number;
    }
  /** `failed` is final; `waiting` may still pass. */
  | { readonly kind: "health"; readonly result: HealthResult }
  | { readonly kind: "tick"; readonly uptimeMs: number }
  | { readonly kind: "revert"; readonly by: string }
  /** The boot choice names the slot for good. */
  | { readonly kind: "choice-committed" }
  /** How it ended was told. */
  | { readonly kind: "reported" };

export type Effect =
  | { readonly do: "fetch"; readonly release: Release }
  | { readonly do: "write"; readonly release: Release; readonly slot: SlotName }
  | { readonly do: "choose-try"; readonly slot: SlotName }
  | { readonly do: "commit-choice"; readonly slot: SlotName }
  /** Before a reboot it need not succeed: the boot loader takes a try off with each boot. */
  | { readonly do: "cancel-choice" }
  | { readonly do: "reboot" }
  | { readonly do: "check-health"; readonly checks: readonly string[] }
  | { readonly do: "raise-floor"; readonly commit: FloorCommit }
  /** To the hub and into the audit trail: how it ended. Done, it is answered by `reported`; else it is told again after the next start. */
  | { readonly do: "report"; readonly phase: Phase }
  | { readonly do: "refuse"; readonly release: Release; readonly why: "busy" | "quarantined" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Of a device that was never updated. */
export const START: State = { phase: { at: "idle" }, quarantined: [] };

/** @returns the state after `event`, and what the driver must do then, in this order. Never throws: an event that makes no sense here changes nothing. */
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

/** [OTA-35] @returns why `release` takes an operator's order; undefined when no roll-back speaks against it. */
export function whyNotAgain({ quarantined }: State, { digest }: Pick<Release, "digest">): string | undefined {
  if (quarantined.some((known) => known.digest === digest)) return "it was rolled back before";
  return quarantined.length < QUARANTINED_MAX
    ? undefined
    : `${quarantined.length} releases were rolled back since the last one that stayed`;
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
  const detail = words(`${code}: ${message}`);
  switch (phase.at) {
    case "fetching":
    case "verified":
    case "written":
      return ended(state, { at: "failed", release: phase.release, detail });
    case "trying": // the choice could not be written: nothing was tried
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

/** [OTA-35] After power-on, or a restart of the program: what was left pending is settled by what really boots. */
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
      // told again, because the power may have gone between the choice and the floor
      if (slot === phase.slot)
        return { state, effects: [{ do: "raise-floor", commit: commitOf(phase.release) }, ...untold(state)] };
      return fellBack(state, phase, slot, plan, { why: "fell-back", detail: `the boot loader chose slot "${slot}"` });
    case "rolled-back":
    case "failed":
      return { state, effects: [...agreed(phase, slot, plan), ...untold(state)] };
    default:
      return same(state);
  }
}

type Trying = Extract<Phase, { at: "trying" }>;

/**
 * The deadline is the new system's own: its timer, which needs no Node, goes by that too, and is to be the later of the two. The boot id is kept if it is there, and
 * never added: a system that wrote none could not read the record any more, if it comes back.
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

function onTrialNotBooted(state: State, phase: Trying, { slot, plan, bootId }: Started): Step {
  const { trial } = phase;
  const planned = plan.trial?.slot === phase.slot ? plan.trial : undefined;
  const again = planned === undefined ? tryNow(phase.slot) : [{ do: "reboot" } as const];
  // The program was restarted, or the reboot could not be asked for: nothing was tried, and nothing speaks against the release.
  if (!trial.seen && trial.bootId === bootId) return { state, effects: again };
  // The power went before the boot choice was written, or before the reboot. A boot loader that forgets, or that does not take the kernel image for one and boots
  // the other without counting, would look the same: hence the bound.
  if (!trial.seen && planned?.used !== true && trial.tries < TRIES_MAX)
    return to(state, { ...phase, trial: { ...trial, tries: trial.tries + 1, bootId } }, again);
  const reason: RollbackReason = trial.seen
    ? { why: "interrupted", detail: words(`it ran and restarted before it was committed; ${summary(trial.health)}`) }
    : { why: "not-booted", detail: notBooted(planned) };
  return fellBack(state, { ...phase, health: trial.health }, slot, plan, reason);
}

function notBooted(planned: BootPlan["trial"]): string {
  return planned?.used === false
    ? "the boot loader was told to try it, and never did: is its kernel image one?"
    : "the boot loader tried it and came back; it never got as far as to say so";
}

/** [OTA-35] */
function onHealth(state: State, result: HealthResult): Step {
  const { phase } = state;
  if (phase.at !== "trying" || !phase.trial.seen) return same(state);
  const kept = { ...result, detail: words(result.detail) };
  const health = phase.trial.health.map((known) => (known.name === result.name ? kept : known));
  if (health.some(({ verdict }) => verdict === "failed"))
    return rollBack(state, { ...phase, health }, { why: "unhealthy", detail: words(summary(health)) });
  if (health.every(({ verdict }) => verdict === "passed"))
    return to(state, { at: "committing", release: phase.release, slot: phase.slot, health }, [
      { do: "commit-choice", slot: phase.slot },
    ]);
  return to(state, { ...phase, trial: { ...phase.trial, health } });
}

/** [OTA-35] Uptime, so that no clock can make a trial longer, and a restart of the program does not either. */
function onTick(state: State, uptimeMs: number): Step {
  const { phase } = state;
  if (phase.at !== "trying" || !phase.trial.seen || uptimeMs < phase.trial.deadlineUptimeMs) return same(state);
  const { health } = phase.trial;
  return rollBack(state, { ...phase, health }, { why: "deadline", detail: words(summary(health)) });
}

function onRevert(state: State, by: string): Step {
  const { phase } = state;
  const detail = words(`by ${by}`);
  switch (phase.at) {
    case "fetching":
    case "verified":
    case "written":
      return ended(state, { at: "failed", release: phase.release, detail: words(`cancelled ${detail}`) });
    case "trying":
      if (!phase.trial.seen)
        return ended(state, { at: "failed", release: phase.release, detail: words(`cancelled ${detail}`) }, [
          { do: "cancel-choice" },
        ]);
      return rollBack(state, { ...phase, health: phase.trial.health }, { why: "ordered", detail });
    default:
      return same(state);
  }
}

interface Left {
  readonly release: Release;
  readonly slot: SlotName;
  readonly health?: readonly HealthResult[];
}

/** The slot under trial runs: leave it. Where it has a try left, that is taken away first; a driver that can't reboots all the same, and each boot takes one. */
function rollBack(state: State, { release, slot, health = [] }: Left, reason: RollbackReason): Step {
  return to(state, { at: "rolling-back", release, slot, reason, health: [...health] }, [
    { do: "cancel-choice" },
    { do: "reboot" },
  ]);
}

/** The end was durable before the boot choice followed it: the power may have gone between the two. */
function agreed({ at }: Phase, slot: SlotName, plan: BootPlan): readonly Effect[] {
  if (plan.committed === slot) return plan.trial === undefined ? [] : [{ do: "cancel-choice" }];
  if (plan.trial?.slot === slot) return leave(slot, plan); // called off, and booted all the same
  return at === "rolled-back" ? [{ do: "commit-choice", slot }] : [];
}

function untold({ phase, untold: isUntold }: State): readonly Effect[] {
  return isUntold === true ? [{ do: "report", phase }] : [];
}

/** It booted again although it was to be left: a commit that failed may have reached the disk after all. */
function leave(slot: SlotName, plan: BootPlan): readonly Effect[] {
  const back: Effect = plan.committed === slot ? { do: "commit-choice", slot: otherSlot(slot) } : { do: "cancel-choice" };
  return [back, { do: "reboot" }];
}

/** The other slot runs: say so, and make the boot choice agree with it. */
function fellBack(state: State, { release, health = [] }: Left, running: SlotName, plan: BootPlan, reason: RollbackReason): Step {
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

/** Of its line, what is no newer than a committed release takes an order anyway. [OTA-41] */
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

function words(text: string): string {
  return text.slice(0, DETAIL_CHARACTERS_MAX).toWellFormed();
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
