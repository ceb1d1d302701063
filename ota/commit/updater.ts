// Runs the machine: event in, state made durable, effects out. [OTA-35]
import type { DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import { type Effect, type Event, next, START } from "./machine.ts";
import { RECORD_BYTES_MAX } from "./limits.ts";
import { decodeState, encodeState, type State } from "./record.ts";

const NAME = "update.json";

export interface UpdaterPorts {
  readonly files: DurableFiles;
  /** Runs one effect. What comes of it is told later, not awaited in here: events take turns. A fault of it ends its turn. */
  readonly run: (effect: Effect) => Promise<void>;
  /** After the new state is durable, before its effects. */
  readonly onChange?: (state: State, event: Event) => void;
}

export interface Updater {
  state(): State;
  /**
   * [OTA-35] The state after the event is durable before the first of its effects runs; effects run one after the other. Events take turns.
   * @throws what the store or an effect throws: the state is then durable and an effect not done, which the next `started` settles.
   */
  tell(event: Event): Promise<void>;
}

/** @throws Fault `update.record-invalid`; `file.*` as for state files. */
export async function openUpdater({ files, run, onChange }: UpdaterPorts): Promise<Updater> {
  const bytes = await files.get(NAME, RECORD_BYTES_MAX);
  let state = bytes === undefined ? START : decodeState(bytes);
  const inTurn = createMutex();
  const turn = async (event: Event): Promise<void> => {
    const step = next(state, event);
    if (step.state !== state) {
      await files.put(NAME, encodeState(step.state));
      state = step.state;
      onChange?.(state, event);
    }
    for (const effect of step.effects) {
      await run(effect);
      if (effect.do === "report") await turn({ kind: "reported" });
    }
  };
  return {
    state: () => state,
    tell: (event) => inTurn(() => turn(event)),
  };
}
