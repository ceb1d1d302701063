// A warden that can't read where its update is: it serves everything else, and refuses updates. [OTA-35]
import { Fault } from "../../hal/fault.ts";
import { floorsOf } from "../../ota/floor/index.ts";
import type { UpdateStatus } from "./format.ts";
import type { UpdatePorts, UpdateSettings } from "./ports.ts";
import { createReboot } from "./reboot.ts";
import type { Updates } from "./updates.ts";

/** @param fault why. */
export function createDisabledUpdates(fault: Fault, { floors, power, note }: UpdatePorts, { image }: UpdateSettings): Updates {
  const refuse = async (): Promise<never> => {
    throw fault;
  };
  const status = (): UpdateStatus => ({
    phase: "failed",
    detail: fault.message.slice(0, 256).toWellFormed(),
    ...(image === undefined ? {} : { version: image.version }),
  });
  return {
    verbs: { "update.read": async () => status(), "update.begin": refuse, "update.write": refuse, "update.abandon": refuse },
    status,
    settle: async () => undefined,
    awaits: () => undefined,
    approve: refuse,
    revertible: () => undefined,
    revert: refuse,
    reboot: createReboot(power, note),
    floors: () => {
      if (floors instanceof Fault) throw floors;
      return floorsOf(floors.record());
    },
    nudge: () => undefined,
    troubles: () => [fault, ...(floors instanceof Fault ? [floors] : [])],
    stop: async () => undefined,
  };
}
