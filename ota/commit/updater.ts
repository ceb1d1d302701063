// The updater: applies events to the state machine, makes each state durable, and runs the effects.
// [OTA-35]
import type { DurableFiles } from "../../hal/ports.ts";
import { createPriorityMutex } from "../../hal/mutex.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { type Effect, type Event, next, START } from "./machine.ts";
import { recordOf, type State, stateOf, UPDATE_RECORD } from "./record.ts";

/** The name of the record in the directory of the updates. */
export const UPDATE_FILE = "update.json";

export interface UpdaterOptions {
  readonly files: DurableFiles;
  /** The state to begin with, as {@link readUpdateState} returned it. */
  readonly state: State;
  /**
   * Runs one effect. A fault ends the turn of its event. An event that follows from the effect must
   * not be awaited in here: events take turns, and it would wait for its own turn's end.
   */
  readonly run: (effect: Effect) => Promise<void>;
  /** Called when the new state is durable, before its effects run. */
  readonly onChange?: (state: State, event: Event) => void;
}

export interface Updater {
  state(): State;
  /**
   * Applies one event. The state after it is durable before the first of its effects runs, and
   * effects run one after the other. Events take turns. [OTA-35]
   * @throws what the store or an effect throws. The state is durable then and an effect is not
   *   done; the next `started` event settles that.
   */
  apply(event: Event): Promise<void>;
  /** Resolves when no event is being applied and none is waiting. */
  idle(): Promise<void>;
}

/** @throws Fault `update.record-invalid`, `record.newer`; `file.*` as for every state file. */
export async function readUpdateState(files: Pick<DurableFiles, "get">): Promise<State> {
  const record = await readRecord(files, UPDATE_FILE, UPDATE_RECORD);
  return record === undefined ? START : stateOf(record);
}

/**
 * Forgets an update record that cannot be read: what was under way, and the releases that were
 * rolled back. For an operator's order only.
 */
export async function discardUpdateState(files: Pick<DurableFiles, "remove">): Promise<void> {
  await files.remove(UPDATE_FILE);
}

export function createUpdater(options: UpdaterOptions): Updater {
  return new MachineUpdater(options);
}

class MachineUpdater implements Updater {
  readonly #options: Omit<UpdaterOptions, "state">;
  readonly #mutex = createPriorityMutex();
  #state: State;
  #pending = 0;

  constructor({ state, ...options }: UpdaterOptions) {
    this.#options = options;
    this.#state = state;
  }

  state(): State {
    return this.#state;
  }

  async apply(event: Event): Promise<void> {
    this.#pending += 1;
    try {
      // [OPS-11] the deadline of a trial comes before events that wait
      await (event.kind === "tick" ? this.#mutex.runFirst(() => this.#step(event)) : this.#mutex.run(() => this.#step(event)));
    } finally {
      this.#pending -= 1;
    }
  }

  async idle(): Promise<void> {
    while (this.#pending > 0) await this.#mutex.run(async () => undefined);
  }

  async #step(event: Event): Promise<void> {
    const { files, run, onChange } = this.#options;
    const step = next(this.#state, event);
    if (step.state !== this.#state) {
      await writeRecord(files, UPDATE_FILE, UPDATE_RECORD, recordOf(step.state));
      this.#state = step.state;
      onChange?.(this.#state, event);
    }
    for (const effect of step.effects) {
      await run(effect);
      if (effect.do === "report") await this.#step({ kind: "reported" });
    }
  }
}
