// Hub time for the warden: the agent fetches, the warden judges and sets. [ID-10] [ID-11]
import { Fault } from "../../hal/fault.ts";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, hubTimeResponseSchema } from "../../ota/format/time.ts";
import { askHubTime } from "../../provisioning/enrollers/index.ts";
import type { HubServer } from "../../provisioning/tls/index.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { ClockState } from "../../warden/time/format.ts";
import { ASK_AGAIN_AFTER_MS, MOVED_MS_MIN, SYNCED_ASK_AGAIN_AFTER_MS } from "./limits.ts";

export interface TimeAnswer {
  readonly clock: ClockState;
  /** The clock was wrong by more than a TLS handshake bears: what failed because of it may be tried at once. */
  readonly moved: boolean;
}

export interface TimeSync {
  /**
   * Has the warden set the clock from the hub, unless it has been in this boot. `dates`: whether the dates of the hub's certificate may be what is wrong.
   * @returns how the warden's clock is afterwards, or undefined when it was asked too short a time ago.
   * @throws Fault what the hub or the warden refuse with.
   */
  sync(dates: "in-doubt" | "believed"): Promise<TimeAnswer | undefined>;
}

export function createTimeSync(parts: {
  readonly warden: WardenClient;
  readonly hub: HubServer;
  readonly deviceId: DeviceId;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): TimeSync {
  const { warden, hub, deviceId, clock, signal } = parts;
  const asked = { atMs: Number.NEGATIVE_INFINITY };

  const ask = async (dates: "strict" | "waived", before: ClockState): Promise<TimeAnswer> => {
    const askedAtMs = clock.monotonicMs();
    const { nonce } = await warden.call("time.nonce", {});
    const body = JSON.stringify({ deviceId, nonce });
    asked.atMs = clock.monotonicMs();
    const question = { path: HUB_TIME_PATH, body, answer: hubTimeResponseSchema, bytesMax: HUB_TIME_BYTES_MAX };
    const response = await askHubTime(hub, dates, question, { signal });
    const after = await warden.call("time.set", response);
    const stepMs = after.nowMs - before.nowMs - (clock.monotonicMs() - askedAtMs);
    return { clock: after, moved: Math.abs(stepMs) > MOVED_MS_MIN };
  };

  return {
    async sync(dates) {
      const { clock: before } = await warden.call("status.read", {});
      if (before.state === "synced" && dates === "believed") return { clock: before, moved: false };
      const restMs = before.state === "synced" ? SYNCED_ASK_AGAIN_AFTER_MS : ASK_AGAIN_AFTER_MS;
      if (clock.monotonicMs() - asked.atMs < restMs) return undefined;
      if (before.state === "unset" || dates === "in-doubt") return ask("waived", before);
      try {
        return await ask("strict", before);
      } catch (error) {
        if (error instanceof Fault && error.code === "tls.hub-dates") return ask("waived", before);
        throw error;
      }
    },
  };
}
