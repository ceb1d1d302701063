// The driver of the work on releases: it runs what the machine decides, one step at a time, and
// opens what a step needs only for as long as the step lasts. [OTA-42]
import { asFault, Fault } from "../../hal/fault.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { faultDetail } from "../fault-detail.ts";
import { isDamagedCopy, isTransient } from "./faults.ts";
import { giveUp } from "./give-up.ts";
import { type Effect, type Event, type JobOutcome, next, type ReleaseJob, start, type State } from "./machine.ts";
import { isHeld } from "./held.ts";
import { checkRepository } from "./metadata.ts";
import type { ReleasesOptions, StepContext } from "./ports.ts";
import { createPolicyTrials, type PolicyTrials } from "./policy-trial.ts";
import { createTransfer, type Transfer } from "./transfer.ts";
import { startUpdateReporter, type UpdateReporter } from "./update-reporter.ts";

export interface Releases {
  /** The tunnel is up: checks the repository and continues a pending update. */
  connected(): void;
  /** The hub sent `repository.changed`: there may be something new. */
  repositoryChanged(): void;
  /** The hub sent `update.start`. It only points at a target, which is judged by its signatures. */
  updateHinted(target: string): void;
  /** What does not work at present. */
  faults(): readonly Fault[];
  /** Ends what is under way, at once. An update continues from there when the agent runs again. */
  stop(): Promise<void>;
}

/** Begins with the update that an earlier run of the agent has left pending, if there is one. */
export function startReleases(options: ReleasesOptions): Releases {
  return new ReleaseDriver(options);
}

/** What a fault belongs to. At most one of each is shown. */
type FaultSource = ReleaseJob["kind"] | "policy";

class ReleaseDriver implements Releases {
  readonly #options: ReleasesOptions;
  readonly #stopped = new AbortController();
  readonly #warden: Pick<WardenClient, "call">;
  readonly #reporter: UpdateReporter;
  readonly #trials: PolicyTrials;
  readonly #transfer: Transfer;
  readonly #faults = new Map<FaultSource, Fault>();
  /** Code of the last refusal that was recorded, until a check succeeds. */
  #recordedRefusal: string | undefined;
  #timer = new AbortController();
  #job: Promise<void> = Promise.resolve();
  /**
   * Settled once the updates given up so far have ended, and nothing of them is left. Only then
   * does the next job begin.
   */
  #givingUp: Promise<void> = Promise.resolve();
  #state: State;

  constructor(options: ReleasesOptions) {
    const { places, tunnel, clock, random } = options;
    const { signal } = this.#stopped;
    this.#options = options;
    this.#warden = untilAborted(options.warden, signal);
    this.#reporter = startUpdateReporter({ warden: this.#warden, tunnel, clock, signal });
    this.#trials = createPolicyTrials({ ...options, warden: this.#warden });
    this.#transfer = createTransfer(places);
    const first = start(clock.monotonicMs(), random());
    this.#state = first.state;
    this.#perform(first.effects);
  }

  connected(): void {
    this.#apply({ kind: "connected", nowMs: this.#options.clock.monotonicMs() });
  }

  repositoryChanged(): void {
    this.#apply({ kind: "repository-changed", nowMs: this.#options.clock.monotonicMs() });
  }

  updateHinted(target: string): void {
    this.#transfer.allowRestart();
    this.#apply({ kind: "update-hinted", nowMs: this.#options.clock.monotonicMs(), target });
  }

  faults(): readonly Fault[] {
    return [...this.#faults.values(), this.#reporter.fault()].filter((fault) => fault !== undefined);
  }

  async stop(): Promise<void> {
    this.#apply({ kind: "stop" });
    this.#stopped.abort(new Fault("update.aborted", "the agent stops"));
    this.#timer.abort();
    await Promise.all([this.#job, this.#givingUp, this.#reporter.done]);
  }

  #apply(event: Event): void {
    const { state, effects } = next(this.#state, event);
    this.#state = state;
    this.#perform(effects);
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case "run":
          this.#timer.abort();
          this.#job = this.#run(effect.job);
          break;
        case "set-timer":
          void this.#setTimer(effect.inMs);
          break;
        case "give-up":
          this.#giveUp(effect);
          break;
        case "report-waiting":
          this.#reporter.remark("hint", effect.target && `${effect.target} waits until this one is over`, effect.target);
          break;
      }
    }
  }

  async #setTimer(inMs: number): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopped;
    this.#timer.abort();
    const timer = new AbortController();
    this.#timer = timer;
    await clock.sleep(inMs, AbortSignal.any([timer.signal, signal]));
    if (!timer.signal.aborted && !signal.aborted) this.#apply({ kind: "timer", nowMs: clock.monotonicMs() });
  }

  /** Never rejects: the outcome decides whether the job is tried again. */
  async #run(job: ReleaseJob): Promise<void> {
    await this.#givingUp;
    const outcome = await this.#attempt(job);
    if (job.kind === "update") {
      if (outcome.kind === "continue") this.#reporter.remark("connection", undefined);
      else this.#pause(outcome);
    }
    if (this.#stopped.signal.aborted) return;
    this.#reporter.poke();
    const { clock, random } = this.#options;
    this.#apply({ kind: "job-ended", nowMs: clock.monotonicMs(), random: random(), outcome });
  }

  /**
   * The hub hears why an update waits. What has arrived stays where it is for the next attempt, and
   * goes when there will be none, before the next job begins. [OTA-76] [OTA-78]
   */
  #pause({ kind }: JobOutcome): void {
    this.#transfer.reset();
    const fault = this.#faults.get("update");
    if (kind !== "retry") this.#givingUp = this.#givingUp.then(() => this.#clearDrop());
    else if (fault !== undefined) this.#reporter.remark("connection", `tries again: ${fault.code}: ${fault.message}`);
  }

  /** Never rejects: each step begins by tidying up. */
  async #clearDrop(): Promise<void> {
    try {
      await (await this.#options.places.drop()).clear();
    } catch (error) {
      this.#options.log(asFault(error, "file.write-failed", "clear the hand-over directory").message);
    }
  }

  async #attempt(job: ReleaseJob): Promise<JobOutcome> {
    try {
      const outcome =
        job.kind === "check"
          ? await this.#check()
          : await this.#withContext((context) => this.#transfer.step(context, job.target));
      this.#faults.delete(job.kind);
      return outcome;
    } catch (error) {
      const fault = asFault(error, "fetch.unreachable", job.kind === "check" ? "check the repository" : "update");
      this.#failed(job.kind, fault);
      return isTransient(fault) ? retryAfter(fault) : { kind: "failed" };
    }
  }

  /** Reports a pending trial to the hub even if the repository cannot be read. */
  async #check(): Promise<JobOutcome> {
    const checked = await this.#withContext((context) => checkRepository(context, this.#options.places)).catch((error: unknown) =>
      asFault(error, "fetch.unreachable", "check the repository"),
    );
    const trialFault = await this.#settleTrial(checked instanceof Fault ? [] : checked.offers);
    if (checked instanceof Fault) throw checked;
    this.#recordedRefusal = undefined;
    return trialFault !== undefined && isTransient(trialFault) ? retryAfter(trialFault) : { kind: "done" };
  }

  async #settleTrial(offers: Parameters<PolicyTrials["settle"]>[0]): Promise<Fault | undefined> {
    try {
      await this.#trials.settle(offers, this.#stopped.signal);
      this.#faults.delete("policy");
      return undefined;
    } catch (error) {
      const fault = asFault(error, "protocol.closed", "try a policy");
      this.#failed("policy", fault);
      return fault;
    }
  }

  async #withContext<T>(run: (context: StepContext) => Promise<T>): Promise<T> {
    const { places, clock, random } = this.#options;
    const drop = await places.drop();
    const repository = places.repository();
    try {
      await drop.clear(isHeld); // of an earlier step, or of an earlier run of the agent
      return await run({
        warden: this.#warden,
        repository,
        drop,
        clock,
        random,
        refused: (fault, channel) => this.#recordRefusal(fault, channel),
        signal: this.#stopped.signal,
      });
    } finally {
      repository.close();
      await drop.clear(isHeld);
    }
  }

  /**
   * Logs a fault once for as long as its code is the same: a bad repository stays so over many
   * checks.
   */
  #failed(source: FaultSource, fault: Fault): void {
    if (this.#stopped.signal.aborted) return;
    const isKnown = this.#faults.get(source)?.code === fault.code;
    this.#faults.set(source, fault);
    if (!isKnown) this.#options.log(`${source}: ${fault.code}: ${fault.message}`);
  }

  /**
   * Records refusals of the repository once for each kind until a check succeeds, because the audit
   * trail is on flash. The machine limits the rate of hints.
   */
  #recordRefusal(fault: Fault, channel: "repository" | "update"): void {
    if (channel === "repository" && this.#recordedRefusal === fault.code) return;
    if (channel === "repository") this.#recordedRefusal = fault.code;
    this.#options.note({ event: "input.refused", result: "refused", detail: { channel, ...faultDetail(fault) } });
  }

  /**
   * After this nothing is tried and the hub is told, so the fault is no longer one of this device.
   */
  #giveUp({ target, instead }: Extract<Effect, { do: "give-up" }>): void {
    const fault = this.#faults.get("update");
    this.#faults.delete("update");
    if (fault === undefined) return;
    const warden = this.#warden;
    const reporter = this.#reporter;
    this.#givingUp = this.#givingUp
      .then(() => giveUp({ warden, reporter }, { target, instead, fault }))
      .catch((error: unknown) => this.#failed("update", asFault(error, "protocol.closed", "give an update up")));
  }
}

function retryAfter(fault: Fault): JobOutcome {
  return { kind: "retry", notBeforeMs: fault.retryAfterMs ?? 0, isDamagedCopy: isDamagedCopy(fault) };
}

/**
 * A call that is under way cannot be withdrawn, but a stopping agent does not wait for its answer.
 * @returns a client whose calls reject with the reason of `signal` when it aborts.
 */
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
