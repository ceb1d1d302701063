// The lockdown in the terms of the protocol: bounded lists of lines. [OPS-1] [LCK-4]
import { clip } from "../../hal/format/text.ts";
import {
  LOCKDOWN_LINES_MAX,
  UNKNOWN_MAX,
  type LockdownPreview,
  type LockdownState,
  type LockdownView,
  type Plan,
} from "./format/index.ts";
import type { JudgedUsbDevice } from "./devices.ts";
import type { Preview } from "./effects.ts";
import { PREVIEW_LIST_BYTES_MAX, VIEW_LIST_BYTES_MAX } from "./limits.ts";
import { staysOpen } from "./plan/index.ts";
import { mayTryAgain, type Reverted } from "./record.ts";
import type { LockdownStatus, PolicyTrial } from "./status.ts";

const LINE_CHARACTERS_MAX = 512;

/** @param unenforced what this machine cannot enforce, as texts for people; `notKnown` likewise. */
export function stateView(
  status: LockdownStatus,
  unenforced: readonly string[],
  notKnown: readonly string[],
  meddling: LockdownState["meddling"],
): LockdownState {
  const { at, counter, planHash, trial, reverted, held } = status;
  return {
    at,
    ...(counter === undefined ? {} : { counter }),
    ...(planHash === undefined ? {} : { planHash }),
    ...(trial === undefined ? {} : { trial: trialView(trial) }),
    ...(reverted === undefined ? {} : { reverted: revertedView(reverted) }),
    ...(meddling === undefined ? {} : { meddling }),
    ...(held === undefined ? {} : { held }),
    ...(unenforced.length === 0 ? {} : { unenforced: [...unenforced] }),
    ...(notKnown.length === 0 ? {} : { unknown: notKnown.slice(0, UNKNOWN_MAX).map((one) => clip(one, 256)) }),
  };
}

function revertedView(reverted: Reverted): NonNullable<LockdownState["reverted"]> {
  const { planHash, reason, counter } = reverted;
  return { planHash, reason, ...(mayTryAgain(reverted) ? { again: counter } : {}) };
}

export function trialView({ planHash, nonce, confirmWithinMs }: PolicyTrial): NonNullable<LockdownState["trial"]> {
  return { planHash, nonce, confirmWithinMs: Math.floor(confirmWithinMs) };
}

export function lockdownView(state: LockdownState, plan: Plan | undefined, devices: readonly JudgedUsbDevice[]): LockdownView {
  const usb = devices.map(({ port, authorized, why }) => `${port} ${authorized ? "works" : "refused"}: ${why}`);
  return {
    state,
    open: lines(plan === undefined ? [] : staysOpen(plan), VIEW_LIST_BYTES_MAX),
    usb: lines(usb, VIEW_LIST_BYTES_MAX),
  };
}

export function previewView({ plan, planHash, risks, difference }: Preview): LockdownPreview {
  const list = (all: readonly string[]): string[] => lines(all, PREVIEW_LIST_BYTES_MAX);
  return {
    planHash,
    risks: list(risks),
    opens: list(difference.opens),
    closes: list(difference.closes),
    open: list(staysOpen(plan)),
  };
}

/** Lines that do not fit are counted in the last line, never omitted silently. */
function lines(all: readonly string[], bytesMax: number): string[] {
  const fit: string[] = [];
  let room = bytesMax;
  for (const line of all) {
    const shown = line.length > LINE_CHARACTERS_MAX ? `${clip(line, LINE_CHARACTERS_MAX - 4)} ...` : line;
    room -= Buffer.byteLength(JSON.stringify(shown)) + 1;
    if (room < 0 || fit.length === LOCKDOWN_LINES_MAX - 1) return [...fit, `... and ${all.length - fit.length} more`];
    fit.push(shown);
  }
  return fit;
}
