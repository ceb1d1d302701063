// A dead man's switch in memory, which fires when a test says so.
import { Fault } from "../../../hal/fault.ts";
import type { DeadManSwitch, WayBack } from "../../../hal/ports.ts";

export interface FakeDeadManSwitch extends DeadManSwitch {
  /** What is armed now. */
  readonly armed: (WayBack & { readonly afterMs: number }) | undefined;
  /** Every call, in order. */
  readonly calls: readonly string[];
  /** Fires it. @returns what comes in force. */
  fire(): WayBack;
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
    arm: async (way, afterMs) => {
      calls.push(`arm ${afterMs}`);
      if (state.refuses) {
        state.refuses = false;
        throw new Fault("file.no-space", "arm the switch: as planned");
      }
      if (state.hasFired) throw new Fault("lockdown.not-in-force", "arm the switch: it has fired");
      state.armed = { ...way, afterMs };
    },
    disarm: async () => {
      calls.push("disarm");
      const { hasFired } = state;
      Object.assign(state, { armed: undefined, hasFired: false });
      return hasFired;
    },
    fire: () => {
      if (state.armed === undefined) throw new Fault("assert.broken", "the switch is armed");
      const { armed } = state;
      Object.assign(state, { armed: undefined, hasFired: true });
      return armed;
    },
    refuse: () => {
      state.refuses = true;
    },
  };
}
