// The two slots of a machine's system, and the boot plan that the boot loader of `files` slots
// reads. [OTA-33] [OTA-34]
import * as v from "valibot";
import { Fault } from "../fault.ts";
import { clip } from "./text.ts";

export const slotNameSchema = v.picklist(["a", "b"], 'expected slot "a" or "b"');
export type SlotName = v.InferOutput<typeof slotNameSchema>;

/** The parts of a slot. The kernel is written last: without it the slot does not boot. */
export const slotPartSchema = v.picklist(["root", "verity", "kernel"], "expected a part: root, verity or kernel");
export type SlotPart = v.InferOutput<typeof slotPartSchema>;

export function otherSlot(slot: SlotName): SlotName {
  return slot === "a" ? "b" : "a";
}

/** What the boot loader does next. */
export interface BootPlan {
  /** The slot that boots when there is no trial. */
  readonly committed: SlotName;
  /**
   * A slot to boot once. It is `used` after that boot, until it is committed, cancelled or
   * replaced.
   */
  readonly trial: { readonly slot: SlotName; readonly used: boolean } | undefined;
}

/** The plan is one line: `a`, `a try b`, `a tried b`. */
export const BOOT_PLAN_BYTES_MAX = 16;
const PLAN_PATTERN = /^([ab])(?: (try|tried) ([ab]))?\n$/;

export function encodeBootPlan({ committed, trial }: BootPlan): string {
  return trial === undefined ? `${committed}\n` : `${committed} ${trial.used ? "tried" : "try"} ${trial.slot}\n`;
}

/** @throws Fault `boot.plan-invalid`. */
export function decodeBootPlan(text: string): BootPlan {
  const [, committed, word, trial] = PLAN_PATTERN.exec(text) ?? [];
  if (!isSlot(committed) || committed === trial)
    throw new Fault(
      "boot.plan-invalid",
      `read the boot choice: ${JSON.stringify(clip(text, 40))}, expected a line such as "a", "a try b" or "a tried b"`,
    );
  return { committed, trial: isSlot(trial) ? { slot: trial, used: word === "tried" } : undefined };
}

function isSlot(text: string | undefined): text is SlotName {
  return text === "a" || text === "b";
}
