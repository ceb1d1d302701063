// The lockdown state as text for people. Pure, ASCII. [CON-11]
import type { LockdownPreview, LockdownView, LockdownState } from "../../warden/lockdown/format/index.ts";
import { keyWords } from "./key-text.ts";
import { list, printed, row } from "./rows.ts";
import { duration } from "./units.ts";

/** One line, and a second one if something cannot be enforced, is not known or was reverted. */
export function lockdownRows(state: LockdownState): string[] {
  const { reverted, meddling, unenforced = [], unknown = [] } = state;
  const notes = [
    ...(unenforced.length === 0 ? [] : [`NOT ENFORCED: ${unenforced.join("; ")}`]),
    ...(unknown.length === 0 ? [] : [`NOT KNOWN: ${unknown.join("; ")}`]),
    ...(meddling === undefined ? [] : [meddlingText(meddling)]),
    ...(reverted === undefined
      ? []
      : [`the last policy tried was REVERTED: ${reverted.reason}${reverted.again === undefined ? "" : "; it is tried again"}`]),
  ];
  return [row("policy", stateOf(state)), ...(notes.length === 0 ? [] : [row("", notes.join("; "))])];
}

function meddlingText({ times, firstAgoS, lastAgoS, by }: NonNullable<LockdownState["meddling"]>): string {
  const since = times === 1 ? "" : `, since ${duration(firstAgoS)} ago`;
  return `another program CHANGED the packet filter ${times}x${since}, last ${duration(lastAgoS)} ago: ${by}`;
}

/** The whole state, with at most `linesMax` lines of each list. */
export function renderLockdown({ state, open, usb }: LockdownView, linesMax = Number.POSITIVE_INFINITY): string {
  return printed([
    ...lockdownRows(state),
    ...(state.planHash === undefined ? [] : [row("plan", state.planHash)]),
    ...list("open", open, "nothing", linesMax),
    ...list("usb", usb, "nothing is plugged in", linesMax),
  ]);
}

/** The effect that a policy would have here. */
export function renderPreview({ planHash, risks, opens, closes, open }: LockdownPreview): string {
  return printed([
    row("plan", planHash),
    ...list("risks", risks, "none"),
    ...list("opens", opens, "nothing"),
    ...list("closes", closes, "nothing"),
    ...list("open", open, "nothing would be open"),
    ...(risks.length === 0 ? [] : [row("", "with these risks this device would REFUSE the policy")]),
  ]);
}

function stateOf({ at, counter, trial, held }: LockdownState): string {
  const policy = counter === undefined ? "the image's own" : `number ${counter}`;
  if (held !== undefined && at !== "shut") return `SHUT: ${keyWords(held) ?? held}; ${policy} comes back with the TPM`;
  switch (at) {
    case "base":
      return `${policy} is in force`;
    case "confirmed":
      return `${policy} is in force, confirmed`;
    case "pending":
      return `${policy} ON TRIAL${trial === undefined ? "" : `, reverted in ${duration(trial.confirmWithinMs / 1000)} unless confirmed`}`;
    case "shut":
      return "SHUT: only connections to the hub are open";
    case "changing":
      return "being changed now";
  }
}
