// The status of an update. Pure.
import type { SlotName } from "../../hal/format/slots.ts";
import type { Release, State } from "../../ota/commit/index.ts";
import type { UpdateStatus } from "./format.ts";

export interface StatusFacts {
  readonly version: string | undefined;
  readonly running: SlotName | undefined;
  /** The chunks that the installer expects, while one is at work. */
  readonly expects: UpdateStatus["expects"];
  /** The plan hash that an order `update.approve` must name. */
  readonly awaitsOrder: string | undefined;
}

/**
 * [OTA-41] A verified release without an installer (this program was restarted) is shown as one
 * that is being fetched: its manifest must be brought again.
 */
export function statusOf({ phase }: State, { version, running, expects, awaitsOrder }: StatusFacts): UpdateStatus {
  const isWriting = phase.at === "verified" && expects !== undefined;
  return {
    phase: phase.at === "verified" && !isWriting ? "fetching" : phase.at,
    ...(version === undefined ? {} : { version }),
    ...(running === undefined ? {} : { running }),
    ...(isWriting ? { expects } : {}),
    ...(awaitsOrder === undefined ? {} : { awaitsOrder }),
    ...("release" in phase ? { release: releaseView(phase.release) } : {}),
    ...("slot" in phase ? { slot: phase.slot } : {}),
    ...("reason" in phase ? { reason: phase.reason } : {}),
    ...("detail" in phase ? { detail: phase.detail } : {}),
    ...(phase.at === "trying" ? { health: phase.trial.health } : "health" in phase ? { health: phase.health } : {}),
  };
}

function releaseView({ target, counter, digest }: Release): UpdateStatus["release"] {
  return { target, counter, digest };
}

/** The plan hash of orders about a release. */
export function planHashOf({ digest }: Pick<Release, "digest">): string {
  return `sha256:${digest}`;
}
