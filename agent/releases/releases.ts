// The driver: runs what the machine decides, one step at a time, and opens what a step needs only for as long as it lasts. [OTA-42]
import { asFault, Fault } from "../../hal/fault.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { followUpdate } from "./follow.ts";
import { giveUp } from "./give-up.ts";
import { type Effect, type Event, type ReleaseJob, next, type JobOutcome, type State, start } from "./machine.ts";
import { checkRepository } from "./metadata.ts";
import { type StepContext, mayPass, type ReleasesOptions } from "./ports.ts";
import { createPolicyTrials } from "./policy-trial.ts";
import { createUpdate } from "./update.ts";

const TEXT_CHARACTERS_MAX = 512;

export interface Releases {
  /** The tunnel is up: look, and go on with what is pending. */
  connected(): void;
  /** `repository.changed`: something may be new. */
  repositoryChanged(): void;
  /** `update.start`: only points, what it points at is judged by its signatures. */
  updateHinted(target: string): void;
  /** What does not work, until it does again. */
  faults(): readonly Fault[];
  /** Ends what is under way, at once; an update goes on from there when the agent runs again. */
  stop(): Promise<void>;
}

/** Begins by going on with what an earlier life of the agent left. */
export function startReleases(parts: ReleasesOptions): Releases {
  const { clock, random, log, note } = parts;
  const stopped = new AbortController();
  const { signal } = stopped;
  const warden = untilAborted(parts.warden, signal);
  const follower = followUpdate({ ...parts, warden, signal });
  const trials = createPolicyTrials({ ...parts, warden });
  const update = createUpdate(parts.places);
  const faults = new Map<string, Fault>();
  /** Code of the last refusal that was told. */
  let refusedBefore: string | undefined;
  let waking = new AbortController();
  let working: Promise<void> = Promise.resolve();
  /** What was given up last is ended before anything else is begun. */
  let ending: Promise<void> = Promise.resolve();
  const first = start(clock.monotonicMs(), random());
  let state: State = first.state;

  const apply = (event: Event): void => {
    const step = next(state, event);
    state = step.state;
    for (const effect of step.effects) perform(effect);
  };

  const perform = (effect: Effect): void => {
    switch (effect.do) {
      case "run":
        waking.abort();
        working = work(effect.job);
        return;
      case "wake":
        void wake(effect.inMs);
        return;
      case "give-up":
        giveUpNow(effect);
        return;
      case "waits":
        follower.remark("hint", effect.target && `${effect.target} waits until this one is over`, effect.target);
        return;
    }
  };

  const wake = async (inMs: number): Promise<void> => {
    waking.abort();
    const mine = (waking = new AbortController());
    await clock.sleep(inMs, AbortSignal.any([mine.signal, signal]));
    if (!mine.signal.aborted && !signal.aborted) apply({ kind: "woken", nowMs: clock.monotonicMs() });
  };

  /** Never rejects: what goes wrong decides whether it is tried again. */
  const work = async (job: ReleaseJob): Promise<void> => {
    await ending;
    const outcome = await attempt(job);
    if (job.kind === "update" && outcome.kind !== "more") update.forget();
    if (job.kind === "update" && outcome.kind === "more") follower.remark("line", undefined);
    if (signal.aborted) return;
    follower.poke();
    apply({ kind: "ended", nowMs: clock.monotonicMs(), random: random(), outcome });
  };

  const attempt = async (job: ReleaseJob): Promise<JobOutcome> => {
    try {
      const outcome = job.kind === "look" ? await look() : await withBench((bench) => update.step(bench, job.target));
      faults.delete(job.kind);
      return outcome;
    } catch (error) {
      const fault = asFault(error, "fetch.unreachable", job.kind === "look" ? "look at the repository" : "update");
      if (!signal.aborted) failed(job.kind, fault);
      return { kind: mayPass(fault) ? "again" : "never" };
    }
  };

  /** A trial that is pending is brought to the hub whatever is wrong with the repository. */
  const look = async (): Promise<JobOutcome> => {
    const seen = await withBench((bench) => checkRepository(bench, parts.places)).catch((error: unknown) =>
      asFault(error, "fetch.unreachable", "look at the repository"),
    );
    const trial = await trials.settle(seen instanceof Fault ? [] : seen.offers, signal).then(
      () => undefined,
      (error: unknown) => asFault(error, "protocol.closed", "try a policy"),
    );
    if (trial === undefined) faults.delete("policy");
    else if (!signal.aborted) failed("policy", trial);
    if (seen instanceof Fault) throw seen;
    refusedBefore = undefined;
    return { kind: trial !== undefined && mayPass(trial) ? "again" : "done" };
  };

  const withBench = async <T>(run: (bench: StepContext) => Promise<T>): Promise<T> => {
    const drop = await parts.places.drop();
    const repository = parts.places.repository();
    try {
      await drop.clear(); // what an earlier step left, or one of an earlier life
      return await run({ warden, repository, drop, clock, random, refused, signal });
    } finally {
      repository.close();
      await drop.clear();
    }
  };

  /** Told once for as long as it is the same: a repository that is wrong stays so over many looks. */
  const failed = (what: string, fault: Fault): void => {
    const known = faults.get(what)?.code === fault.code;
    faults.set(what, fault);
    if (known) return;
    const { code, message } = fault;
    log(`${what}: ${code}: ${message}`);
  };

  /** Of the same kind once, until a look has found all well: the trail is on flash. Hints are paced by the machine. */
  const refused: StepContext["refused"] = ({ code, message }, channel) => {
    if (channel === "repository" && refusedBefore === code) return;
    if (channel === "repository") refusedBefore = code;
    const detail = { channel, code, message: message.slice(0, TEXT_CHARACTERS_MAX) };
    note({ event: "input.refused", result: "refused", detail });
  };

  /** Nothing more is tried and the hub is told: no trouble of this machine's any longer. */
  const giveUpNow = ({ target, instead }: Extract<Effect, { do: "give-up" }>): void => {
    const fault = faults.get("update");
    faults.delete("update");
    if (fault === undefined) return;
    ending = ending
      .then(() => giveUp({ warden, follower }, { target, instead, fault }))
      .catch((error: unknown) => {
        if (!signal.aborted) failed("update", asFault(error, "protocol.closed", "give an update up"));
      });
  };

  for (const effect of first.effects) perform(effect);
  return {
    connected: () => apply({ kind: "connected", nowMs: clock.monotonicMs() }),
    repositoryChanged: () => apply({ kind: "changed", nowMs: clock.monotonicMs() }),
    updateHinted: (target) => {
      update.pointed();
      apply({ kind: "pointed", nowMs: clock.monotonicMs(), target });
    },
    faults: () => [...faults.values(), follower.trouble()].filter((fault) => fault !== undefined),
    async stop() {
      apply({ kind: "stop" });
      stopped.abort(new Fault("update.aborted", "the agent stops"));
      waking.abort();
      await Promise.all([working, ending, follower.done]);
    },
  };
}

/** A call that is under way can't be taken back, but a stopping agent does not wait for its answer. @throws Fault `update.aborted` then. */
function untilAborted(warden: Pick<WardenClient, "call">, signal: AbortSignal): Pick<WardenClient, "call"> {
  return {
    call: async (verb, args) => {
      signal.throwIfAborted();
      const settled = new AbortController();
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason), { signal: settled.signal });
      try {
        return await Promise.race([warden.call(verb, args), promise]);
      } finally {
        settled.abort();
      }
    },
  };
}
