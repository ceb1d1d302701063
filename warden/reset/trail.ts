// A factory reset in the audit trail. Pure. [ID-58]
import type { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { AuditDetail, AuditEntry } from "../audit/format/index.ts";
import type { ResetPlan } from "./format.ts";
import { WHY_CHARACTERS_MAX } from "./limits.ts";
import type { Outcome } from "./machine.ts";
import type { ChipOutcome, ResetOrder } from "./record.ts";

export function orderedEntry({ by, planHash }: ResetOrder, { identity, chip }: ResetPlan): AuditEntry {
  const key: AuditDetail = identity === null ? {} : { ...identity };
  return { event: "reset.ordered", result: "ok", principal: by, detail: { planHash, chip, ...key } };
}

/** The TPM is still this device's. That it was handed back, its owner records itself. [ID-53] */
export function keptEntry({ code, message }: Fault): AuditEntry {
  return { event: "reset.chip-kept", result: "failed", detail: { code, why: clip(message, WHY_CHARACTERS_MAX) } };
}

export function endEntry(outcome: Outcome, order: ResetOrder | undefined, chip: ChipOutcome | undefined): AuditEntry {
  const who = order === undefined ? {} : { principal: order.by };
  const plan: AuditDetail = order === undefined ? {} : { planHash: order.planHash };
  if ("notWiped" in outcome)
    return {
      event: "reset.failed",
      result: "failed",
      ...who,
      detail: { ...plan, why: clip(outcome.notWiped, WHY_CHARACTERS_MAX) },
    };
  const { left, free } = outcome.wiped;
  return {
    event: "reset.done",
    result: left === 0 && chip?.handedBack !== false ? "ok" : "failed",
    ...who,
    detail: { ...plan, left: left ?? "unknown", free, chip: chipWord(chip) },
  };
}

function chipWord(chip: ChipOutcome | undefined): string {
  if (chip === undefined) return "none of ours";
  return chip.handedBack ? "handed back" : `still ours: ${chip.code ?? "unknown"}`;
}
