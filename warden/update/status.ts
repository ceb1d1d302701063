// Where an update is, for whoever asks. Pure.
import type { SlotName } from "../../hal/format/slots.ts";
import type { Release, State } from "../../ota/commit/index.ts";
import type { UpdateStatus } from "./format.ts";

export interface Known {
  readonly version: string | undefined;
  readonly running: SlotName | undefined;
  /** Of the installer, while one is at work. */
  readonly expects: UpdateStatus["expects"];
  /** What an order `update.approve` has to be over. */
  readonly awaitsOrder: string | undefined;
}

/** [OTA-41] A release that was verified and is being written by nobody (this program was restarted) is as one that is being fetched: its manifest has to come again. */
export function statusOf({ phase }: State, { version, running, expects, awaitsOrder }: Known): UpdateStatus {
  const isWriting = phase.at === "verified" && expects !== undefined;
  return {
    phase: phase.at === "verified" && !isWriting ? "fetching" : phase.at,
    ...(version === undefined ? {} : { version }),
    ...(running === undefined ? {} : { running }),
    ...(isWriting ? { expects } : {}),
    ...(awaitsOrder === undefined ? {} : { awaitsOrder }),
    ...("release" in phase ? { release: shown(phase.release) } : {}),
    ...("slot" in phase ? { slot: phase.slot } : {}),
    ...("reason" in phase ? { reason: phase.reason } : {}),
    ...("detail" in phase ? { detail: phase.detail } : {}),
    ...(phase.at === "trying" ? { health: phase.trial.health } : "health" in phase ? { health: phase.health } : {}),
  };
}

function shown({ target, counter, digest }: Release): UpdateStatus["release"] {
  return { target, counter, digest };
}

/** What an order about a release is over. */
export function planHashOf({ digest }: Pick<Release, "digest">): string {
  return `sha256:${digest}`;
}
