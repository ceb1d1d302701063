// The plan of a factory reset as text for people. Pure, ASCII. [CON-11] [ID-57]
import { describeReset, type ResetPlanView } from "../../warden/reset/format.ts";
import { printed, row } from "./rows.ts";
import { serialJson } from "./serial-text.ts";

export const WIPING = "This device tells the hub, hands its TPM back, and restarts to be wiped.\n";

/**
 * The rows, and then the plan itself in one line. The owner's tool needs that line to find out what
 * the hash of the order stands for.
 */
export function renderResetPlan({ planHash, plan }: ResetPlanView): string {
  const rows = describeReset(plan).map(([label, text]) => row(label, text));
  return [
    printed([...rows, row("plan", planHash)]),
    'The line below, in a file, is what "answer --plan" takes:\n',
    `${serialJson(plan)}\n`,
  ].join("");
}
