// The life of an update (ota/commit) on this machine: events in, effects on boot choice, floors and power. [OTA-35]
import { asFault, Fault } from "../../hal/fault.ts";
import type { SlotName } from "../../hal/format/slots.ts";
import { type Effect, type Event, openUpdater, type Release, type State } from "../../ota/commit/index.ts";
import { SETTLE_AGAIN_MS } from "./limits.ts";
import { createReboot } from "./reboot.ts";
import type { UpdatePorts, UpdateSettings } from "./ports.ts";
import { endOf, rebootReason, stepOf } from "./trail.ts";

export interface UpdateDriver {
  state(): State;
  /** The slot this boot runs from; undefined where the boot did not say. */
  running(): SlotName | undefined;
  /** @throws what the store or an effect throws; what is left undone is done again later. */
  tell(event: Event): Promise<void>;
  /** As {@link tell}; a fault goes to the journal. */
  told(event: Event): Promise<void>;
  /** [OTA-35] What was left pending is settled by what really boots. A machine that does not say is a trouble, and updates are refused. */
  settle(): Promise<void>;
  /** @throws Fault `power.failed`. */
  reboot(reason: string): Promise<void>;
  /** Something could not be done: told to the journal, and everything settled again later. */
  troubled(error: unknown): Fault;
  trouble(): Fault | undefined;
  stop(): void;
}

export interface UpdateDriverHooks {
  /** The parts of the release are to be written. */
  readonly write: (release: Release, slot: SlotName) => void;
  /** The system under trial is to be looked at from now on. */
  readonly watch: () => void;
  /** Everything that was pending is done, or under way. */
  readonly settled: () => void;
  /** The state is another one. */
  readonly changed: (state: State) => void;
}

/** @throws Fault `update.record-invalid`; `file.*` as for state files. */
export async function openUpdateDriver(
  ports: UpdatePorts,
  { trialMs }: Pick<UpdateSettings, "trialMs">,
  hooks: UpdateDriverHooks,
): Promise<UpdateDriver> {
  const { files, floors, slots, boot, bootId, power, clock, note, report } = ports;
  const stopped = new AbortController();
  let running: SlotName | undefined;
  let trouble: Fault | undefined;
  let isSettlingLater = false;

  const reboot = createReboot(power, note);
  /** Events are told later, not from within an effect: they take turns. */
  const later = (event: Event): void => void engine.told(event);
  const choosing = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      const fault = asFault(error, "boot.plan-invalid", "tell the boot loader");
      later({ kind: "failed", code: fault.code, message: fault.message });
      throw fault;
    }
  };
  const callOff = async (): Promise<void> => {
    try {
      await boot.cancel();
    } catch (error) {
      if (updater.state().phase.at !== "rolling-back") throw error;
      report(asFault(error, "boot.plan-invalid", "call the trial off")); // the reboot comes all the same: it takes a try off
    }
  };
  const run = async (effect: Effect): Promise<void> => {
    switch (effect.do) {
      case "fetch": // the agent brings it, request by request
      case "refuse": // whoever offered it sees that it was not taken
        return;
      case "write":
        return hooks.write(effect.release, effect.slot);
      case "choose-try":
        return await choosing(boot.tryOnce(effect.slot));
      case "commit-choice":
        await choosing(boot.commit(effect.slot));
        return later({ kind: "choice-committed" });
      case "cancel-choice":
        return await callOff();
      case "reboot":
        return await reboot(rebootReason(updater.state().phase));
      case "check-health":
        return hooks.watch();
      case "raise-floor":
        if (floors instanceof Fault) throw floors;
        await floors.commit(effect.commit);
        return;
      case "report": {
        const entry = endOf(effect.phase);
        if (entry !== undefined) await note(entry);
      }
    }
  };
  const updater = await openUpdater({
    files,
    run,
    onChange: (state, event) => {
      const entry = stepOf(state.phase, event);
      if (entry !== undefined) void note(entry);
      hooks.changed(state);
    },
  });

  const troubled = (error: unknown): Fault => {
    const fault = asFault(error, "assert.broken", "run an update");
    if (trouble?.message !== fault.message) report(fault);
    trouble = fault;
    settleLater();
    return fault;
  };
  const settleLater = (): void => {
    if (isSettlingLater || stopped.signal.aborted) return;
    isSettlingLater = true;
    void clock.sleep(SETTLE_AGAIN_MS, stopped.signal).then(() => {
      isSettlingLater = false;
      return stopped.signal.aborted ? undefined : engine.settle();
    });
  };

  const engine: UpdateDriver = {
    state: () => updater.state(),
    running: () => running,
    tell: async (event) => {
      try {
        await updater.tell(event);
      } catch (error) {
        throw troubled(error);
      }
    },
    told: async (event) => {
      await engine.tell(event).catch(() => undefined); // reported by then
    },
    settle: async () => {
      try {
        running = await slots.running();
        const plan = await boot.read();
        await updater.tell({ kind: "started", slot: running, plan, bootId: await bootId(), deadlineUptimeMs: trialMs });
        trouble = undefined;
        hooks.settled();
      } catch (error) {
        troubled(error);
      }
    },
    reboot,
    troubled,
    trouble: () => trouble,
    stop: () => stopped.abort(),
  };
  return engine;
}
