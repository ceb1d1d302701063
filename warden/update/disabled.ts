// Updates of a warden whose update record cannot be read: it serves everything else and refuses
// releases. An operator's order `update.revert` discards the record and restarts: the boot choice
// is untouched, and what really boots settles the rest. [OTA-35] [STA-5]
import { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import { floorsOf } from "../../ota/floor/index.ts";
import { discardUpdateState } from "../../ota/commit/index.ts";
import type { UpdateStatus } from "./format.ts";
import { STATUS_CHARACTERS_MAX } from "./limits.ts";
import type { UpdatePorts, Updates, UpdateSettings } from "./ports.ts";
import { createReboot } from "./reboot.ts";

/** @param fault why updates are refused. */
export function createDisabledUpdates(
  fault: Fault,
  { files, floors, power, record }: UpdatePorts,
  { image }: UpdateSettings,
): Updates {
  const refuse = async (): Promise<never> => {
    throw fault;
  };
  const refused = { planHash: () => undefined, execute: refuse };
  const reboot = createReboot(power, record);
  const discard = async (by: string): Promise<void> => {
    await discardUpdateState(files);
    await reboot(`the update record that cannot be read was discarded, ordered by ${by}`);
  };
  const status = (): UpdateStatus => ({
    phase: "failed",
    detail: clip(fault.message, STATUS_CHARACTERS_MAX),
    ...(image === undefined ? {} : { version: image.version }),
  });
  return {
    verbs: { "update.read": async () => status(), "update.begin": refuse, "update.write": refuse, "update.abandon": refuse },
    orders: {
      "update.approve": refused,
      "update.revert": { planHash: () => undefined, execute: ({ by }) => discard(by) },
      "system.reboot": { planHash: () => undefined, execute: ({ by }) => reboot(`ordered by ${by}`) },
    },
    status,
    settle: async () => undefined,
    floors: () => {
      if (floors instanceof Fault) throw floors;
      return floorsOf(floors.record());
    },
    nudge: () => undefined,
    troubles: () => [fault, ...(floors instanceof Fault ? [floors] : [])],
    stop: async () => undefined,
  };
}
