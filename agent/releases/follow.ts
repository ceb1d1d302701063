// Tells the hub where the update is: every change of phase once, as the warden says it. What it did before this program began is told at the start. [OTA-35]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import type { UpdateReport } from "../tunnel/format.ts";
import type { Tunnel } from "../tunnel/index.ts";
import { FOLLOW_MOVING_MS, FOLLOW_RETRY_MS, FOLLOW_WAITING_MS } from "./limits.ts";

const DETAIL_CHARACTERS_MAX = 256;

/** `hint`: what became of a hint for another release; `line`: why the agent rests. */
export type RemarkKind = "hint" | "line";

export interface Follower {
  /** Something may have changed: look now. */
  poke(): void;
  /**
   * Said to the hub beside where the update is, for as long as the release that is under way is: what the warden knows nothing of. Instead of any earlier one. Nothing
   * is said when nothing is under way.
   * @param text undefined: what was said of this kind does not hold any more.
   * @param except nothing is said while this target is what is under way.
   */
  remark(kind: RemarkKind, text: string | undefined, except?: string): void;
  /** A hint came to nothing and nothing else is under way. @throws Fault `tunnel.*`. */
  tellFailed(target: string, fault: Fault): Promise<void>;
  trouble(): Fault | undefined;
  readonly done: Promise<void>;
}

export function followUpdate(parts: {
  readonly warden: Pick<WardenClient, "call">;
  readonly tunnel: Pick<Tunnel, "publish">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): Follower {
  const { warden, tunnel, clock, signal } = parts;
  let told: string | undefined;
  let trouble: Fault | undefined;
  let poked = new AbortController();
  let remarked:
    | { readonly kind: RemarkKind; readonly text: string; readonly except: string | undefined; digest: string | undefined }
    | undefined;

  /** With what there is to remark about it. */
  const shown = (update: UpdateStatus): UpdateStatus => {
    if (remarked === undefined) return update;
    const { release } = update;
    remarked.digest ??= release?.digest;
    if (!isBusy(update) || release?.digest !== remarked.digest || release?.target === remarked.except) {
      remarked = undefined;
      return update;
    }
    return { ...update, detail: remarked.text };
  };

  const tell = async (update: UpdateStatus): Promise<void> => {
    await tunnel.publish("update", { kind: "update", update } satisfies UpdateReport);
  };

  /** @returns how long nothing is expected to change; undefined: until poked. */
  const look = async (): Promise<number | undefined> => {
    try {
      const update = shown(await warden.call("update.read", {}));
      if (markOf(update) !== told) await tell(update);
      told = markOf(update);
      trouble = undefined;
      return restMs(update);
    } catch (error) {
      trouble = asFault(error, "protocol.closed", "follow the update");
      return FOLLOW_RETRY_MS;
    }
  };

  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      poked = new AbortController();
      const either = AbortSignal.any([signal, poked.signal]);
      const waitMs = await look();
      if (waitMs === undefined) await aborted(either);
      else await clock.sleep(waitMs, either);
    }
  };

  return {
    poke: () => poked.abort(),
    remark: (kind, text, except) => {
      if (text !== undefined) remarked = { kind, text: worded(text), except, digest: undefined };
      else if (remarked?.kind === kind) remarked = undefined;
      else return;
      poked.abort();
    },
    tellFailed: async (target, { code, message }) => {
      const { version, running } = await warden.call("update.read", {});
      await tell({
        phase: "failed",
        ...(version !== undefined && { version }),
        ...(running !== undefined && { running }),
        detail: worded(`${target}: ${code}: ${message}`),
      });
    },
    trouble: () => trouble,
    done: follow(),
  };
}

function worded(text: string): string {
  return text.slice(0, DETAIL_CHARACTERS_MAX).toWellFormed();
}

/** A release has the machine. */
export function isBusy({ phase }: UpdateStatus): boolean {
  return phase !== "idle" && phase !== "committed" && phase !== "rolled-back" && phase !== "failed";
}

/** What makes a status another one for the hub: not how far the chunks are. */
function markOf({ phase, release, awaitsOrder, reason, detail }: UpdateStatus): string {
  return JSON.stringify([phase, release?.digest, awaitsOrder, reason?.why, detail]);
}

function restMs(update: UpdateStatus): number | undefined {
  if (update.awaitsOrder !== undefined) return FOLLOW_WAITING_MS;
  return isBusy(update) ? FOLLOW_MOVING_MS : undefined;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
