// The state machine of an update, step by step.
import { test } from "tap";
import { canonicalJson } from "../../../hal/format/json.ts";
import type { BootPlan } from "../../../hal/format/slots.ts";
import { isUpdateActive, TRIAL_MS_DEFAULT } from "../../../ota/commit/index.ts";
import { QUARANTINED_MAX } from "../../../ota/commit/limits.ts";
import { type Event, next, START } from "../../../ota/commit/machine.ts";
import { decodeRecord, encodeRecord } from "../../../hal/format/record.ts";
import { recordOf, type Release, type State, stateOf, UPDATE_RECORD } from "../../../ota/commit/record.ts";

const decodeState = (bytes: Uint8Array): State => stateOf(decodeRecord(bytes, UPDATE_RECORD));
const encodeState = (state: State): Uint8Array => encodeRecord(recordOf(state), UPDATE_RECORD);

const release: Release = { target: "os/gateway-7", digest: "7".repeat(64), line: "os", counter: 7, floorAfterCommit: 6 };
const OLD: BootPlan = { committed: "a", trial: undefined };
const TO_TRY: BootPlan = { committed: "a", trial: { slot: "b", used: false } };
const TRIED: BootPlan = { committed: "a", trial: { slot: "b", used: true } };

/** Applies all events. The state must survive the disk after each one. */
function after(events: readonly Event[], from: State = START): { readonly state: State; readonly did: readonly string[] } {
  let state = from;
  let did: readonly string[] = [];
  for (const event of events) {
    const step = next(state, event);
    state = decodeState(encodeState(step.state));
    did = step.effects.map((effect) => effect.do);
  }
  return { state, did };
}

const OFFERED: Event = { kind: "offered", release, ordered: false };
const VERIFIED: Event = { kind: "verified", slot: "b" };
const WRITTEN: Event = { kind: "written" };
const TRY: Event = { kind: "try", checks: ["hub", "disk"], bootId: "boot 1" };
/** The program starts, in a new boot unless `bootId` says otherwise. */
const started = (slot: "a" | "b", plan: BootPlan, bootId = `a boot of ${slot}`): Event => ({
  kind: "started",
  slot,
  plan,
  bootId,
  deadlineUptimeMs: TRIAL_MS_DEFAULT,
});
const IN_B = started("b", TRIED);
const IN_A = started("a", TRIED);
const health = (name: string, verdict: "passed" | "failed" | "waiting", detail = ""): Event => ({
  kind: "health",
  result: { name, verdict, detail },
});
const TRYING = [OFFERED, VERIFIED, WRITTEN, TRY];

test("[OTA-35] [OTA-60] a good release is fetched, verified, written, tried and committed, and its floor is raised", async (t) => {
  t.same(after([OFFERED]).did, ["fetch"]);
  t.same(after([OFFERED, VERIFIED]).did, ["write"]);
  t.same(after([OFFERED, VERIFIED, WRITTEN]).did, []);
  t.same(after(TRYING).did, ["choose-try", "reboot"]);
  t.same(after([...TRYING, IN_B]).did, ["check-health"]);
  t.same(after([...TRYING, IN_B, health("hub", "waiting"), health("disk", "passed")]).did, []);
  t.same(after([...TRYING, IN_B, health("disk", "passed"), health("hub", "passed")]).did, ["commit-choice"]);
  const { state, did } = after([
    ...TRYING,
    IN_B,
    health("disk", "passed"),
    health("hub", "passed"),
    { kind: "choice-committed" },
  ]);
  t.same(did, ["raise-floor", "report"]);
  t.same(state.phase, { at: "committed", release, slot: "b" });
});

test("[OTA-60] a check that fails for good ends the trial at once, and its detail is the reason", async (t) => {
  const { state, did } = after([...TRYING, IN_B, health("hub", "waiting", "no route"), health("disk", "failed", "read-only")]);
  t.same(did, ["cancel-choice", "reboot"], "the remaining tries are cancelled first");
  t.match(state.phase, {
    at: "rolling-back",
    reason: { why: "unhealthy", detail: "hub waiting (no route), disk failed (read-only)" },
  });
  const back = after([IN_A], state);
  t.same(back.did, ["cancel-choice", "report"]);
  t.match(back.state.phase, {
    at: "rolled-back",
    reason: { why: "unhealthy" },
    health: [{ name: "hub" }, { name: "disk", verdict: "failed" }],
  });
});

test("[OTA-60] the deadline ends a trial whose checks did not all pass; a restart of the program does not move it", async (t) => {
  const waiting = [...TRYING, IN_B, health("disk", "passed"), health("hub", "waiting", "timed out")];
  t.equal(after([...waiting, { kind: "tick", uptimeMs: TRIAL_MS_DEFAULT - 1 }]).state.phase.at, "trying");
  const { state, did } = after([...waiting, IN_B, { kind: "tick", uptimeMs: TRIAL_MS_DEFAULT }]);
  t.same(did, ["cancel-choice", "reboot"]);
  t.match(state.phase, { reason: { why: "deadline", detail: "hub waiting (timed out)" } });
});

test("[OTA-60] the deadline is that of the system under trial, which may need more time or less", async (t) => {
  const booted: Event = { kind: "started", slot: "b", plan: TRIED, bootId: "boot 2", deadlineUptimeMs: 90_000 };
  t.equal(after([...TRYING, booted, { kind: "tick", uptimeMs: 89_999 }]).state.phase.at, "trying");
  t.equal(after([...TRYING, booted, { kind: "tick", uptimeMs: 90_000 }]).state.phase.at, "rolling-back");
});

test("[OTA-60] the deadline counts only in the slot under trial", async (t) => {
  t.equal(after([...TRYING, { kind: "tick", uptimeMs: 9_000_000 }]).state.phase.at, "trying");
});

test("[OTA-60] a check that was not asked for commits nothing", async (t) => {
  const { state } = after([...TRYING, IN_B, health("disk", "passed"), health("other", "passed"), health("third", "passed")]);
  t.equal(state.phase.at, "trying");
});

test("[OTA-60] health results of the old system, before the reboot, do not count", async (t) => {
  t.match(after([...TRYING, health("disk", "passed"), health("hub", "passed")]).state.phase, {
    at: "trying",
    trial: { seen: false },
  });
});

test("[OTA-35] a system that never booted and one that restarted before its commit have different reasons", async (t) => {
  t.match(after([...TRYING, IN_A]).state.phase, { at: "rolled-back", reason: { why: "not-booted" } });
  t.match(after([...TRYING, IN_B, health("disk", "passed"), IN_A]).state.phase, {
    at: "rolled-back",
    reason: { why: "interrupted", detail: /hub waiting/ },
  });
});

test("[OTA-70] [OTA-71] a trial that its timer or the watchdog has ended says so; what nothing tells is not known", async (t) => {
  const ended = (by: "timer" | "watchdog" | undefined): Event => Object.assign({}, IN_A, { ended: by });
  const reasonFor = (events: readonly Event[]): unknown => {
    const { phase } = after([...TRYING, ...events]).state;
    return "reason" in phase ? phase.reason : undefined;
  };
  const passed = [IN_B, health("disk", "passed")];
  for (const [events, reason] of [
    [[ended("timer")], { why: "deadline", detail: /^the system's own timer ended the trial; it never started this program$/u }],
    [[...passed, ended("timer")], { why: "deadline", detail: /timer ended the trial; it ran; hub waiting$/u }],
    [
      [ended("watchdog")],
      { why: "interrupted", detail: /^the hardware watchdog reset the machine; it never started this program$/u },
    ],
    [[...passed, ended("watchdog")], { why: "interrupted", detail: /watchdog reset the machine; it ran; hub waiting$/u }],
    [
      [ended(undefined)],
      { why: "not-booted", detail: /fell back, why is not known \(a power cut, .*; it never started this program$/u },
    ],
    [[...passed, ended(undefined)], { why: "interrupted", detail: /why is not known \(a power cut, .*; it ran; hub waiting$/u }],
  ] as const)
    t.match(reasonFor(events), reason);
  const passedOver = ["boot 2", "boot 3", "boot 4"].map((bootId): Event =>
    Object.assign({}, started("a", TO_TRY, bootId), { ended: "timer" }),
  );
  t.match(
    reasonFor(passedOver),
    { why: "not-booted", detail: /never did/u },
    "a note of another trial explains no boot that never was",
  );
});

test("[OTA-61] after a power cut before the boot choice was written the trial is repeated, a bounded number of times", async (t) => {
  const afterCut = (bootId: string): Event => started("a", OLD, bootId);
  t.same(after([...TRYING, afterCut("boot 2")]).did, ["choose-try", "reboot"]);
  t.same(after([...TRYING, started("a", TO_TRY)]).did, ["reboot"]);
  t.match(after([...TRYING, afterCut("boot 2"), afterCut("boot 3")]).state.phase, { at: "trying" });
  t.match(after([...TRYING, afterCut("boot 2"), afterCut("boot 3"), afterCut("boot 4")]).state.phase, { at: "rolled-back" });
});

test("[OTA-61] a boot loader that never tries the slot (its kernel image is not valid to it) ends the trial after a bounded number of reboots", async (t) => {
  const passedOver = ["boot 2", "boot 3", "boot 4"].map((bootId) => started("a", TO_TRY, bootId));
  t.same(after([...TRYING, ...passedOver.slice(0, 2)]).did, ["reboot"]);
  const { state, did } = after([...TRYING, ...passedOver]);
  t.same(did, ["cancel-choice", "report"]);
  t.match(state.phase, { at: "rolled-back", reason: { why: "not-booted", detail: /never did/ } });
  t.match(state.quarantined, [{ digest: release.digest }]);
});

test("[OTA-61] within one boot a reboot that did not come is requested again, and no try is used up", async (t) => {
  const sameBoot = started("a", TO_TRY, "boot 1");
  const repeated = after([...TRYING, ...Array.from({ length: 10 }, () => sameBoot)]);
  t.same(repeated.did, ["reboot"]);
  t.same(repeated.state, after(TRYING).state, "no try was used up");
  t.same(
    after([started("a", OLD, "boot 1")], repeated.state).did,
    ["choose-try", "reboot"],
    "nor where the boot choice was not written",
  );
  t.match(after([started("b", TRIED, "boot 2")], repeated.state).state.phase, { at: "trying", trial: { seen: true } });
  const counted = after([started("a", TO_TRY, "boot 2"), started("a", TO_TRY, "boot 2")], repeated.state);
  t.match(counted.state.phase, { at: "trying", trial: { tries: 2 } }, "once for each boot");
});

test("[OTA-35] a record of an earlier version, with an early deadline and without a boot id, is read, and each start counts as a boot", async (t) => {
  const { phase } = after(TRYING).state;
  t.equal(phase.at, "trying");
  if (phase.at !== "trying") return;
  const { bootId: _, ...trial } = phase.trial;
  const earlier = (seen: boolean): State =>
    decodeState(
      Buffer.from(
        canonicalJson({ v: 1, phase: { ...phase, trial: { ...trial, seen, deadlineUptimeMs: 5000 } }, quarantined: [] }),
      ),
    );
  const passedOver = started("a", TO_TRY, "boot 1");
  t.match(after([passedOver], earlier(false)).state.phase, { at: "trying", trial: { tries: 2, bootId: "boot 1" } });
  const booted = after([IN_B], earlier(false)).state;
  t.match(booted.phase, { at: "trying", trial: { seen: true, deadlineUptimeMs: TRIAL_MS_DEFAULT } });
  t.notMatch(booted.phase, { trial: { bootId: String } }, "the previous system could not read the member after a rollback");
  t.equal(after([{ kind: "tick", uptimeMs: 5000 }], earlier(true)).state.phase.at, "rolling-back");
});

test("[OTA-35] after a power cut between boot choice, commit and floor each of them is repeated", async (t) => {
  const committing = [...TRYING, IN_B, health("disk", "passed"), health("hub", "passed")];
  t.same(after([...committing, IN_B]).did, ["commit-choice"]);
  t.match(after([...committing, IN_A]).state.phase, { at: "rolled-back", reason: { why: "interrupted" } });
  const done = [...committing, { kind: "choice-committed" } as const];
  const again = started("b", { committed: "b", trial: undefined });
  t.same(after([...done, again]).did, ["raise-floor", "report"], "it is not known whether the end was reported");
  t.same(after([...done, { kind: "reported" }, again]).did, ["raise-floor"]);
});

test("[OTA-35] after a power cut between an end and the boot choice, the choice agrees with what runs and the end is reported", async (t) => {
  const done = [...TRYING, IN_B, health("disk", "passed"), health("hub", "passed"), { kind: "choice-committed" } as const];
  const fellBack = started("a", { committed: "b", trial: undefined });
  t.same(
    after([...done, fellBack, fellBack]).did,
    ["commit-choice", "report"],
    "otherwise every further update would be refused",
  );
  const settled = started("a", OLD);
  t.same(after([...done, fellBack, { kind: "reported" }, settled]).did, []);
  const cancelled = [...TRYING, { kind: "revert", by: "alice" } as const];
  t.same(after([...cancelled, started("a", TO_TRY)]).did, ["cancel-choice", "report"]);
  const booted = after([...cancelled, IN_B]);
  t.same(booted.did, ["cancel-choice", "reboot", "report"], "no trial is under way: the system is left");
  t.equal(booted.state.phase.at, "failed");
  const elsewhere = started("b", OLD);
  t.same(
    after([OFFERED, { kind: "revert", by: "alice" }, { kind: "reported" }, elsewhere]).did,
    [],
    "a slot that was not tried is not committed",
  );
});

test("[OTA-35] a committed system that the boot loader abandons is reported, and the boot choice follows", async (t) => {
  const done = [...TRYING, IN_B, health("disk", "passed"), health("hub", "passed"), { kind: "choice-committed" } as const];
  const { state, did } = after([...done, started("a", { committed: "b", trial: undefined })]);
  t.same(did, ["commit-choice", "report"]);
  t.match(state.phase, { at: "rolled-back", reason: { why: "fell-back" } });
});

test("[OTA-35] a commit that could not be written is rolled back, even where it reached the disk after all", async (t) => {
  const committing = [...TRYING, IN_B, health("disk", "passed"), health("hub", "passed")];
  const failed: Event = { kind: "failed", code: "file.no-space", message: "no room" };
  const { state } = after([...committing, failed]);
  t.match(state.phase, { at: "rolling-back", reason: { why: "commit-failed", detail: "file.no-space: no room" } });
  const again = next(state, started("b", { committed: "b", trial: undefined }));
  t.same(again.effects, [{ do: "commit-choice", slot: "a" }, { do: "reboot" }]);
});

test("[OTA-62] a release that was rolled back needs an order to be taken up again; another release does not", async (t) => {
  const { state } = after([...TRYING, IN_A]);
  t.same(next(state, OFFERED).effects, [{ do: "refuse", release, why: "quarantined" }]);
  t.same(after([{ ...OFFERED, ordered: true }], state).did, ["fetch"]);
  const other = { ...release, digest: "8".repeat(64), counter: 8 };
  t.same(after([{ kind: "offered", release: other, ordered: false }], state).did, ["fetch"]);
  const committed = after(
    [
      { ...OFFERED, ordered: true },
      VERIFIED,
      WRITTEN,
      TRY,
      IN_B,
      health("disk", "passed"),
      health("hub", "passed"),
      { kind: "choice-committed" },
    ],
    state,
  );
  t.same(committed.state.quarantined, [], "a commit clears the quarantine");
});

test("[OTA-62] [OTA-66] when the quarantine is full every release needs an order, so none is tried without end", async (t) => {
  const nth = (n: number): Release => ({ ...release, digest: n.toString(16).padStart(64, "0"), counter: 7 + n });
  const rolledBack = (n: number): readonly Event[] => [
    { kind: "offered", release: nth(n), ordered: false },
    ...TRYING.slice(1),
    IN_A,
    { kind: "reported" },
  ];
  let state = START;
  for (let n = 1; n <= QUARANTINED_MAX; n++) {
    state = after(rolledBack(n), state).state;
    t.equal(state.quarantined.length, n);
  }
  for (const n of [1, QUARANTINED_MAX + 1]) t.equal(after(rolledBack(n), state).state.phase.at, "rolled-back");
  t.same(after(rolledBack(QUARANTINED_MAX + 1), state).state, state, "nothing was tried");
  const ordered: Event = { kind: "offered", release: nth(QUARANTINED_MAX + 1), ordered: true };
  const toCommit = [
    ...TRYING.slice(1),
    IN_B,
    health("disk", "passed"),
    health("hub", "passed"),
    { kind: "choice-committed" } as const,
  ];
  t.same(
    after([ordered, ...toCommit], state).state.quarantined,
    [],
    "a release older than the committed one needs an order in any case",
  );
});

test("[OTA-35] only one update is under way at a time", async (t) => {
  for (let n = 1; n <= TRYING.length; n++) {
    const { state } = after(TRYING.slice(0, n));
    const step = next(state, { ...OFFERED, ordered: true });
    t.equal(step.state, state);
    t.same(step.effects, [{ do: "refuse", release, why: "busy" }]);
  }
});

test("[OTA-35] [OTA-41] an update is active in exactly the phases in which another release is refused as busy", async (t) => {
  const committing = [...TRYING, IN_B, health("disk", "passed"), health("hub", "passed")];
  const histories: readonly (readonly Event[])[] = [
    [],
    ...TRYING.map((_, n) => TRYING.slice(0, n + 1)),
    committing,
    [...committing, { kind: "choice-committed" }],
    [...TRYING, IN_B, health("hub", "failed")],
    [...TRYING, IN_A],
    [OFFERED, { kind: "revert", by: "alice" }],
  ];
  const phases = histories.map((events) => after(events).state);
  t.equal(new Set(phases.map(({ phase }) => phase.at)).size, 10, "every phase is reached");
  for (const state of phases) {
    const [effect] = next(state, { ...OFFERED, ordered: true }).effects;
    t.equal(effect?.do === "refuse", isUpdateActive(state.phase.at), state.phase.at);
  }
});

test("[OTA-35] a failure or a revert before the trial leaves the old system alone and records the reason", async (t) => {
  for (const events of [[OFFERED], [OFFERED, VERIFIED], [OFFERED, VERIFIED, WRITTEN]]) {
    t.match(after([...events, { kind: "failed", code: "chunk.tampered", message: "x" }]), {
      did: ["report"],
      state: { phase: { at: "failed", detail: "chunk.tampered: x" } },
    });
    t.match(after([...events, { kind: "revert", by: "alice" }]), {
      did: ["report"],
      state: { phase: { at: "failed", detail: "cancelled by alice" } },
    });
  }
  t.same(after([...TRYING, { kind: "revert", by: "alice" }]).did, ["cancel-choice", "report"]);
  t.match(after([...TRYING, IN_B, { kind: "revert", by: "alice" }]).state.phase, {
    at: "rolling-back",
    reason: { why: "ordered", detail: "by alice" },
  });
});

test("[OTA-35] a record that cannot be read is a fault", async (t) => {
  for (const text of [
    "",
    "{}",
    '{"phase":{"at":"idle"},"quarantined":[],"v":0}',
    '{"phase":{"at":"lost"},"quarantined":[],"v":1}',
  ])
    t.throws(() => decodeState(Buffer.from(text)), { code: "update.record-invalid" }, text);
});
