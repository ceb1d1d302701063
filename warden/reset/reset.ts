// The driver of a factory reset: it carries out the effects of the state machine one after the
// other, each durable before the next. [ID-57] [ID-58]
import { asFault, Fault, type FaultCode } from "../../hal/fault.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import type { OrderExecutor } from "../update/index.ts";
import { KEPT, LOST, type ResetPlan, resetPlanHash } from "./format.ts";
import { RELEASE_MS_MAX, WITNESS_MS_MAX, WITNESS_POLL_MS } from "./limits.ts";
import { type Effect, type Event, next, type Outcome, start, type State, type Step } from "./machine.ts";
import { createResetMarks, type ResetMarks } from "./marker.ts";
import type { ResetPorts } from "./ports.ts";
import { RESET_FILE, RESET_RECORD, type ResetRecord } from "./record.ts";
import { endEntry, keptEntry, orderedEntry } from "./trail.ts";

export interface ResetService {
  readonly verbs: Pick<VerbHandlers, "reset.plan">;
  /** Of `system.wipe`. It resolves when the order is recorded; what follows goes on by itself. */
  readonly order: OrderExecutor;
  troubles(): readonly Fault[];
  /** Resolves when no step is under way. The next start goes on. */
  stop(): Promise<void>;
}

/**
 * Whether a reset is under way and has wiped nothing yet. The chip that it hands back must not be
 * taken over again before.
 * @param state the warden's own directory.
 */
export async function isResetUnderWay(state: ResetPorts["state"], marker: ResetPorts["marker"]): Promise<boolean> {
  const record = await recordOf(state, () => undefined);
  return record !== undefined && (await createResetMarks(state, marker).wiped()) === undefined;
}

/** Never fails: a record that cannot be read is reported, and the owner orders the reset again. */
export async function openReset(ports: ResetPorts): Promise<ResetService> {
  const service = new ResetDriver(ports);
  await service.open();
  return {
    verbs: {
      "reset.plan": async () => {
        const plan = service.plan();
        return { planHash: resetPlanHash(plan), plan };
      },
    },
    order: { planHash: () => service.planHash(), execute: (order) => service.order(order) },
    troubles: () => service.troubles(),
    stop: () => service.stop(),
  };
}

/** Phases in which a restart would interrupt an update, or leave a system on trial. */
const UPDATING = ["fetching", "verified", "written", "trying", "committing", "rolling-back"];

class ResetDriver {
  readonly #ports: ResetPorts;
  readonly #marks: ResetMarks;
  readonly #stopping = new AbortController();
  #state: State = { at: "idle" };
  #ended: Fault | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(ports: ResetPorts) {
    this.#ports = ports;
    this.#marks = createResetMarks(ports.state, ports.marker);
  }

  async open(): Promise<void> {
    const { state, report, bootId } = this.#ports;
    const record = await recordOf(state, report);
    this.#go(start({ record, marker: await this.#marks.isMarked(), wiped: await this.#marks.wiped(), bootId }));
  }

  plan(): ResetPlan {
    const { birth, chip, deviceId, version } = this.#ports;
    const born = birth();
    return {
      v: 1,
      kind: "reset-plan",
      deviceId,
      identity: born === undefined ? null : { protection: born.protection, keyFingerprint: born.keyFingerprint },
      chip: chip?.owner() ?? "none",
      version: version ?? null,
      lost: [...LOST],
      kept: [...KEPT],
    };
  }

  /** @throws Fault `reset.busy` while a reset or an update is under way. */
  planHash(): string {
    if (this.#state.at !== "idle") throw new Fault("reset.busy", `wipe this device: that is under way (${wordOf(this.#state)})`);
    const { phase } = this.#ports.update();
    if (UPDATING.includes(phase))
      throw new Fault(
        "reset.busy",
        `wipe this device: a release is under way (${phase}); let it end, or order update.revert first`,
      );
    return resetPlanHash(this.plan());
  }

  /**
   * @throws Fault `reset.busy`; `file.*` when the order cannot be recorded, and then nothing has
   *   changed.
   */
  async order({ by, planHash = "" }: { readonly by: string; readonly planHash?: string | undefined }): Promise<void> {
    if (this.planHash() !== planHash) throw new Fault("order.invalid", "wipe this device: what would be lost has changed");
    const { state, effect } = next(this.#state, { kind: "ordered", order: { by, planHash } });
    this.#state = state;
    if (effect === undefined) return;
    try {
      await this.#marks.forgetWiped();
      await this.#perform(effect);
    } catch (error) {
      const fault = asFault(error, "assert.broken", "record the order of a reset");
      this.#state = next(this.#state, { kind: "failed", code: fault.code }).state;
      throw fault;
    }
    this.#go(next(this.#state, { kind: "done" }));
  }

  troubles(): readonly Fault[] {
    if (this.#state.at !== "idle") return [new Fault("reset.under-way", `this device is being wiped: ${wordOf(this.#state)}`)];
    return this.#ended === undefined ? [] : [this.#ended];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  #go(step: Step): void {
    this.#running = this.#run(step);
  }

  async #run(first: Step): Promise<void> {
    let step = first;
    for (;;) {
      this.#state = step.state;
      if (step.effect === undefined || this.#stopping.signal.aborted) return;
      const event = await this.#outcomeOf(step.effect);
      if (this.#stopping.signal.aborted) return;
      step = next(this.#state, event);
    }
  }

  async #outcomeOf(effect: Effect): Promise<Event> {
    try {
      return (await this.#perform(effect)) ?? { kind: "done" };
    } catch (error) {
      const fault = asFault(error, "assert.broken", `wipe this device: ${effect.do}`);
      if (this.#stopping.signal.aborted) return { kind: "failed", code: fault.code };
      this.#ports.report(fault);
      if (effect.do === "release") await this.#ports.record(keptEntry(fault));
      return { kind: "failed", code: fault.code };
    }
  }

  async #perform(effect: Effect): Promise<Event | undefined> {
    const { state, clock, bootId, restart } = this.#ports;
    switch (effect.do) {
      case "record":
        await writeRecord(state, RESET_FILE, RESET_RECORD, { v: 1, bootId, ...effect.record });
        return undefined;
      case "tell":
        await this.#tell(effect);
        return undefined;
      case "release":
        return await this.#release();
      case "mark":
        await this.#marks.mark();
        return undefined;
      case "restart":
        await restart(`factory reset, ordered by ${effect.by}`);
        return undefined;
      case "end":
        await this.#end(effect);
        return undefined;
      case "wait":
        await clock.sleep(effect.forMs, this.#stopping.signal);
        return undefined;
    }
  }

  /** The record of the order goes to the hub before the tunnel ends, if the hub is there. */
  async #tell({ order }: Extract<Effect, { do: "tell" }>): Promise<void> {
    const { auditHead, clock, record } = this.#ports;
    await record(orderedEntry(order, this.plan()));
    const { size } = auditHead();
    const until = clock.monotonicMs() + WITNESS_MS_MAX;
    while (auditHead().witnessedSize < size && clock.monotonicMs() < until && !this.#stopping.signal.aborted)
      await clock.sleep(WITNESS_POLL_MS, this.#stopping.signal);
  }

  async #release(): Promise<Event | undefined> {
    const { chip, clock } = this.#ports;
    if (chip === undefined) return { kind: "no-chip" };
    const wasOurs = chip.owner() === "ours";
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, this.#stopping.signal]);
    const late = async (): Promise<never> => {
      await clock.sleep(RELEASE_MS_MAX, signal);
      throw new Fault("tpm.timeout", `hand the TPM back: it has not answered within ${RELEASE_MS_MAX} ms`);
    };
    try {
      await Promise.race([chip.release(), late()]);
    } finally {
      waiting.abort();
    }
    return wasOurs ? undefined : { kind: "no-chip" };
  }

  /** Each part can be done again: after a cut the trail has the end twice, and never not at all. */
  async #end({ order, chip, outcome }: Extract<Effect, { do: "end" }>): Promise<void> {
    const { record, state } = this.#ports;
    await record(endEntry(outcome, order, chip));
    await this.#marks.unmark();
    await state.remove(RESET_FILE);
    await this.#marks.forgetWiped();
    this.#ended = troubleOf(outcome, chip?.code);
  }
}

async function recordOf(state: ResetPorts["state"], report: ResetPorts["report"]): Promise<ResetRecord | undefined> {
  try {
    return await readRecord(state, RESET_FILE, RESET_RECORD);
  } catch (error) {
    report(asFault(error, "assert.broken", "read the record of a reset; the owner may order it again"));
    return undefined;
  }
}

function wordOf(state: State): string {
  switch (state.at) {
    case "beginning":
    case "telling":
      return "the hub is told";
    case "releasing":
    case "released":
      return "the TPM is handed back";
    case "waiting":
      return wordOf(state.next);
    case "ending":
    case "idle":
      return "it is being recorded";
    default:
      return "it waits for its restart";
  }
}

/** What the owner has to know after the restart, until the next one. */
function troubleOf(outcome: Outcome, code: FaultCode | undefined): Fault | undefined {
  if ("notWiped" in outcome) return new Fault("reset.failed", `this device was not wiped: ${outcome.notWiped}`);
  const { left } = outcome.wiped;
  const remains = [
    ...(left === 0 ? [] : [left === undefined ? "it is not known what is left" : `${left} files could not be removed`]),
    ...(code === undefined ? [] : [`the TPM was not handed back (${code})`]),
  ];
  return remains.length === 0 ? undefined : new Fault("reset.failed", `this device was wiped, but ${remains.join("; ")}`);
}
