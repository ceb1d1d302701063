// Tells the hub where the update is: every change of phase once, as the warden says it. What it did before this program began is told at the start. [OTA-35]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { UpdateStatus } from "../../warden/protocol/format.ts";
import type { UpdateReport } from "../tunnel/format.ts";
import type { Tunnel } from "../tunnel/index.ts";
import { FOLLOW_MOVING_MS, FOLLOW_RETRY_MS, FOLLOW_WAITING_MS } from "./limits.ts";

const DETAIL_CHARACTERS_MAX = 256;

export interface Follower {
  /** Something may have changed: look now. */
  poke(): void;
  /** The agent itself does not go on: nothing that the warden would know. Never rejects. */
  tellFailed(target: string | undefined, fault: Fault): Promise<void>;
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

  const tell = async (update: UpdateStatus): Promise<void> => {
    await tunnel.publish("update", { kind: "update", update } satisfies UpdateReport);
  };

  /** @returns how long nothing is expected to change; undefined: until poked. */
  const look = async (): Promise<number | undefined> => {
    try {
      const update = await warden.call("update.read", {});
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
    tellFailed: async (target, fault) => {
      const detail = `${target === undefined ? "" : `${target}: `}${fault.code}: ${fault.message}`;
      try {
        const { version, running, phase, detail: said } = await warden.call("update.read", {});
        if (phase === "failed" && said !== undefined) return; // the warden gave up too, and tells why
        await tell({
          phase: "failed",
          ...(version !== undefined && { version }),
          ...(running !== undefined && { running }),
          detail: detail.slice(0, DETAIL_CHARACTERS_MAX).toWellFormed(),
        });
      } catch (error) {
        trouble = asFault(error, "protocol.closed", "tell that an update failed");
      }
    },
    trouble: () => trouble,
    done: follow(),
  };
}

/** What makes a status another one for the hub: not how far the chunks are. */
function markOf({ phase, release, awaitsOrder, reason, detail }: UpdateStatus): string {
  return JSON.stringify([phase, release?.digest, awaitsOrder, reason?.why, detail]);
}

function restMs({ phase, awaitsOrder }: UpdateStatus): number | undefined {
  if (awaitsOrder !== undefined) return FOLLOW_WAITING_MS;
  return phase === "idle" || phase === "committed" || phase === "rolled-back" || phase === "failed"
    ? undefined
    : FOLLOW_MOVING_MS;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
