// The driver of an update: applies events to its state machine (ota/commit) and runs the effects on
// this machine. [OTA-35] Data flows one way: admission decides, the driver acts, and installation
// and trial watch report events to it.
import { asFault, Fault } from "../../hal/fault.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { BootEnding } from "../../hal/ports.ts";
import { otherSlot, type SlotName } from "../../hal/format/slots.ts";
import {
  createUpdater,
  type Effect,
  type Event,
  readUpdateState,
  type Release,
  type State,
  type Updater,
} from "../../ota/commit/index.ts";
import type { WantedFile } from "../targets/format.ts";
import { activeRelease, Admission, type Admitted, busy, isReplaceable, type Replaced, type UpdateView } from "./admission.ts";
import { type Approval, openApproval } from "./approval.ts";
import { Installation } from "./installation.ts";
import type { ExpectedChunks, WriteRequest } from "./job.ts";
import { SETTLE_AGAIN_MS } from "./limits.ts";
import type { UpdatePorts, UpdateSettings, VerifiedOrder } from "./ports.ts";
import { createReboot } from "./reboot.ts";
import { planHashOf } from "./status.ts";
import { endOf, rebootReason, stepOf } from "./trail.ts";
import { TrialWatch } from "./trial-watch.ts";

/** @throws Fault `update.record-invalid`; `file.*` as for every state file. */
export async function openUpdateDriver(ports: UpdatePorts, settings: UpdateSettings): Promise<UpdateDriver> {
  const approval = await openApproval(ports.files, ports.report);
  return new UpdateDriver(ports, settings, approval, await readUpdateState(ports.files));
}

export class UpdateDriver implements UpdateView {
  readonly #ports: UpdatePorts;
  readonly #settings: UpdateSettings;
  readonly #approval: Approval;
  readonly #admission: Admission;
  readonly #installation: Installation;
  readonly #watch: TrialWatch;
  readonly #updater: Updater;
  readonly #requestReboot: (reason: string) => Promise<void>;
  /** Requests that take up or end a release follow one another. */
  readonly #inTurn = createMutex();
  readonly #stopped = new AbortController();
  #running: SlotName | undefined;
  #trouble: Fault | undefined;
  #isSettleScheduled = false;
  /** The release that was last refused for want of an operator's order. */
  #orderable: Release | undefined;

  constructor(ports: UpdatePorts, settings: UpdateSettings, approval: Approval, state: State) {
    this.#ports = ports;
    this.#settings = settings;
    this.#approval = approval;
    this.#admission = new Admission(ports, settings);
    this.#installation = new Installation(ports, (event) => this.post(event));
    this.#watch = new TrialWatch(ports, this);
    this.#requestReboot = createReboot(ports.power, ports.record);
    this.#updater = createUpdater({
      files: ports.files,
      state,
      run: (effect) => this.#run(effect),
      onChange: (next, event) => this.#onChange(next, event),
    });
  }

  state(): State {
    return this.#updater.state();
  }

  running(): SlotName | undefined {
    return this.#running;
  }

  trouble(): Fault | undefined {
    return this.#trouble;
  }

  /** Why an operator's approval was lost. It keeps no release from being taken up. */
  approvalFault(): Fault | undefined {
    return this.#approval.fault();
  }

  isOrdered({ digest }: Release): boolean {
    return this.#approval.has(digest);
  }

  isInstalling(): boolean {
    return this.expects() !== undefined;
  }

  /** The chunks that must come next; undefined while no installer is at work. */
  expects(): ExpectedChunks | undefined {
    return this.#installation.expects();
  }

  /**
   * The plan hash that an order `update.approve` must name; undefined when no release waits for
   * one.
   */
  awaits(): string | undefined {
    const release = this.#awaitingOrder();
    return release === undefined ? undefined : planHashOf(release);
  }

  /**
   * The plan hash that an order `update.revert` must name; undefined when nothing can be reverted.
   */
  revertible(): string | undefined {
    const { phase } = this.state();
    return isReplaceable(phase) || phase.at === "trying" ? planHashOf(phase.release) : undefined;
  }

  /**
   * Takes up the release that is published as `target`, or goes on with it. A fault of the release
   * itself ends it and is not thrown. [OTA-41]
   * @returns the file that the agent must bring first, or that the release is under way.
   * @throws Fault as {@link Admission.decide}; `update.refused`, `protocol.rate-limited`; as
   *   {@link apply}.
   */
  async begin(target: string, absent: readonly string[]): Promise<WantedFile | "begun"> {
    return await this.#inTurn(async () => {
      const decision = await this.#admission.decide(target, absent, this);
      switch (decision.state) {
        case "wanted":
          return decision;
        case "under-way":
          return "begun";
        case "ends":
          return await this.#endWith(decision.fault);
        case "refused":
          if (decision.ends !== undefined) await this.#replace(target, decision.ends);
          this.#orderable = decision.orderable ?? this.#orderable;
          throw decision.fault;
        case "admitted":
          await this.#takeUp(target, decision);
          return await this.#install(decision, absent);
      }
    });
  }

  /**
   * [OTA-65] Writes chunks that lie in the hand-over directory.
   * @throws Fault `update.not-waiting`.
   */
  async write(range: WriteRequest): Promise<void> {
    const { at } = this.state().phase;
    if (at !== "verified") throw new Fault("update.not-waiting", `write chunks: nothing is being written, the update is ${at}`);
    await this.#installation.write(range);
  }

  /** Ends a release whose files the agent cannot bring. @throws Fault `update.not-waiting`. */
  async abandon(code: string, message: string): Promise<void> {
    await this.#inTurn(async () => {
      const { at } = this.state().phase;
      if (at !== "fetching" && at !== "verified")
        throw new Fault("update.not-waiting", `give an update up: nothing is expected of the agent, the update is ${at}`);
      await this.apply({ kind: "failed", code: "update.aborted", message: `the agent gave up: ${code}: ${message}` });
      await this.#installation.abort();
    });
  }

  /**
   * [OTA-41]
   * @throws Fault `update.not-waiting` when the order names another release than the one that
   *   waits.
   */
  async approve({ planHash }: VerifiedOrder): Promise<void> {
    const release = this.#awaitingOrder();
    if (release === undefined || planHashOf(release) !== planHash)
      throw new Fault(
        "update.not-waiting",
        `approve ${planHash ?? "a release"}: ${this.awaits() ?? "nothing"} waits for an order`,
      );
    await this.#approval.grant(release.digest);
    if (release === this.#orderable) this.#orderable = undefined;
    await this.#tryWritten();
  }

  /**
   * Ends the release under way.
   * @throws Fault `update.not-waiting` when there is none, or another than the order names.
   */
  async revert({ planHash, by }: VerifiedOrder): Promise<void> {
    const current = this.revertible();
    if (current === undefined)
      throw new Fault("update.not-waiting", `revert an update: none can be reverted, the update is ${this.state().phase.at}`);
    if (planHash !== undefined && planHash !== current)
      throw new Fault("update.not-waiting", `revert ${planHash}: ${current} is under way`);
    await this.apply({ kind: "revert", by });
    await this.#installation.abort();
  }

  /**
   * [OTA-35] Settles what is pending according to the slot that really booted. A machine that does
   * not say which slot that is has a trouble, and updates are refused. Never rejects.
   */
  async settle(): Promise<void> {
    const { slots, boot, bootId } = this.#ports;
    try {
      const slot = await slots.running();
      this.#running = slot;
      const plan = await boot.read();
      const deadlineUptimeMs = this.#settings.trialMs;
      const ended = await this.#howTrialEnded();
      await this.#updater.apply({ kind: "started", slot, plan, bootId: await bootId(), deadlineUptimeMs, ended });
      this.#trouble = undefined;
      void this.#tryWritten();
    } catch (error) {
      this.#retryLater(error);
    }
  }

  /** @throws Fault `power.failed`. */
  async reboot(reason: string): Promise<void> {
    await this.#requestReboot(reason);
  }

  /** Checks the health of a system under trial now. */
  nudge(): void {
    this.#watch.nudge();
  }

  /** @throws what the store or an effect throws; what is left undone is settled later. */
  async apply(event: Event): Promise<void> {
    try {
      await this.#updater.apply(event);
    } catch (error) {
      throw this.#retryLater(error);
    }
  }

  /** As {@link apply}, but a fault only goes to the journal. Never rejects. */
  async post(event: Event): Promise<void> {
    await this.apply(event).catch(() => undefined); // reported by #retryLater
  }

  /** Resolves when no event is being applied and none is waiting. */
  async idle(): Promise<void> {
    await this.#updater.idle();
  }

  /**
   * Resolves when the installer is gone and the driver is idle. An update under way goes on with
   * the next start.
   */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#watch.stop();
    await this.#installation.abort();
    await this.idle();
  }

  async #takeUp(target: string, { release, beginning }: Admitted): Promise<void> {
    if (beginning === undefined) return;
    if (beginning.replaces !== undefined) await this.#replace(target, beginning.replaces);
    await this.apply({ kind: "offered", release, ordered: beginning.ordered });
  }

  /** @throws Fault `update.busy` when the release under way has gone on meanwhile. */
  async #replace(target: string, { release, message }: Replaced): Promise<void> {
    await this.#installation.abort();
    const { phase } = this.state();
    if (!isReplaceable(phase) || phase.release.digest !== release.digest) throw busy(target, release);
    await this.apply({ kind: "failed", code: "update.refused", message });
  }

  async #install(admitted: Admitted, absent: readonly string[]): Promise<WantedFile | "begun"> {
    const { boot } = this.#ports;
    const plan = await this.#admission.plan(admitted, absent, this);
    if (plan.state === "wanted") return plan;
    if (plan.state === "ends") return await this.#endWith(plan.fault);
    // a trial that is left over would boot the slot that is about to be written
    if ((await boot.read()).trial !== undefined) await boot.cancel();
    this.#installation.plan(admitted.release, plan.parts);
    const { phase } = this.state();
    if (phase.at === "fetching" && this.#running !== undefined)
      await this.apply({ kind: "verified", slot: otherSlot(this.#running) });
    else if (phase.at === "verified") this.#installation.start(admitted.release, phase.slot);
    await this.#installation.ready();
    return "begun";
  }

  async #endWith({ code, message }: Fault): Promise<"begun"> {
    await this.apply({ kind: "failed", code, message });
    return "begun";
  }

  #needsOrder(release: Release): boolean {
    return this.#settings.approval === "order" && !this.isOrdered(release);
  }

  #awaitingOrder(): Release | undefined {
    const { phase } = this.state();
    if (phase.at === "written" && this.#needsOrder(phase.release)) return phase.release;
    return activeRelease(phase) === undefined ? this.#orderable : undefined;
  }

  /** [OTA-66] Tries a release that is written, unless it waits for an order. Never rejects. */
  async #tryWritten(): Promise<void> {
    const { phase } = this.state();
    if (phase.at !== "written" || this.#needsOrder(phase.release)) return;
    try {
      const bootId = await this.#ports.bootId();
      await this.#approval.spend();
      await this.apply({ kind: "try", checks: this.#settings.checks, bootId });
    } catch (error) {
      this.#retryLater(error);
    }
  }

  #onChange({ phase }: State, event: Event): void {
    const entry = stepOf(phase, event);
    if (entry !== undefined) void this.#ports.record(entry);
    if (phase.at === "written") void this.#tryWritten();
    if (phase.at === "fetching") this.#orderable = undefined;
  }

  async #run(effect: Effect): Promise<void> {
    const { boot, floors, record } = this.#ports;
    switch (effect.do) {
      case "fetch": // the agent brings the files, request by request
      case "refuse": // admission has refused it before
        return;
      case "write":
        return this.#installation.start(effect.release, effect.slot);
      case "choose-try":
        // what was told of an earlier trial is not of this one
        await this.#ports.bootEnd
          ?.forget()
          .catch((error: unknown) => this.#ports.report(asFault(error, "file.write-failed", "forget how a trial ended")));
        return await this.#choose(boot.tryOnce(effect.slot));
      case "commit-choice":
        await this.#choose(boot.commit(effect.slot));
        // not awaited: that event gets its turn when this one has ended
        void this.post({ kind: "choice-committed" });
        return;
      case "cancel-choice":
        return await this.#cancelChoice();
      case "reboot":
        return await this.reboot(rebootReason(this.state().phase));
      case "check-health":
        return this.#watch.start();
      case "raise-floor":
        if (floors instanceof Fault) throw floors;
        await floors.commit(effect.commit);
        return;
      case "report": {
        const entry = endOf(effect.phase);
        if (entry !== undefined) await record(entry);
      }
    }
  }

  async #howTrialEnded(): Promise<BootEnding | undefined> {
    const { phase } = this.state();
    return phase.at === "trying" ? await this.#ports.bootEnd?.told(phase.slot) : undefined;
  }

  async #choose(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const fault = asFault(error, "boot.plan-invalid", "write the boot choice");
      void this.post({ kind: "failed", code: fault.code, message: fault.message });
      throw fault;
    }
  }

  async #cancelChoice(): Promise<void> {
    try {
      await this.#ports.boot.cancel();
    } catch (error) {
      if (this.state().phase.at !== "rolling-back") throw error;
      // the reboot comes all the same, and it uses up one try
      this.#ports.report(asFault(error, "boot.plan-invalid", "cancel the trial"));
    }
  }

  /**
   * Keeps the fault as the trouble, reports it to the journal when it is new, and schedules the
   * next settling.
   */
  #retryLater(error: unknown): Fault {
    const fault = asFault(error, "assert.broken", "run an update");
    if (this.#trouble?.message !== fault.message) this.#ports.report(fault);
    this.#trouble = fault;
    void this.#scheduleSettle();
    return fault;
  }

  async #scheduleSettle(): Promise<void> {
    const { signal } = this.#stopped;
    if (this.#isSettleScheduled || signal.aborted) return;
    this.#isSettleScheduled = true;
    await this.#ports.clock.sleep(SETTLE_AGAIN_MS, signal);
    this.#isSettleScheduled = false;
    if (!signal.aborted) await this.settle();
  }
}
