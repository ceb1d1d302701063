// A dead man's switch in memory, which fires when a test says so.
import { Fault } from "../../../hal/fault.ts";
import type { DeadManSwitch } from "../../../hal/ports.ts";

export interface FakeDeadManSwitch extends DeadManSwitch {
  /** What is armed now. */
  readonly armed: { readonly table: string; readonly afterMs: number } | undefined;
  /** Every call, in order. */
  readonly calls: readonly string[];
  /** Fires it. @returns the table that comes in force. */
  fire(): string;
  /** The next call of `arm` fails. */
  refuse(): void;
}

export function fakeDeadManSwitch(): FakeDeadManSwitch {
  const state: { armed: FakeDeadManSwitch["armed"]; hasFired: boolean; refuses: boolean } = {
    armed: undefined,
    hasFired: false,
    refuses: false,
  };
  const calls: string[] = [];
  return {
    get armed() {
      return state.armed;
    },
    calls,
    arm: async (table, afterMs) => {
      calls.push(`arm ${afterMs}`);
      if (state.refuses) {
        state.refuses = false;
        throw new Fault("file.no-space", "arm the switch: as planned");
      }
      state.armed = { table, afterMs };
    },
    disarm: async () => {
      calls.push("disarm");
      const { hasFired } = state;
      Object.assign(state, { armed: undefined, hasFired: false });
      return hasFired;
    },
    fire: () => {
      if (state.armed === undefined) throw new Fault("assert.broken", "the switch is armed");
      const { table } = state.armed;
      Object.assign(state, { armed: undefined, hasFired: true });
      return table;
    },
    refuse: () => {
      state.refuses = true;
    },
  };
}
