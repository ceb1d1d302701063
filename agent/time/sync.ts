// One request for hub time: the agent fetches it, the warden judges it and sets the clock. [ID-10]
// [ID-11]
import { Fault } from "../../hal/fault.ts";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, hubTimeResponseSchema } from "../../ota/format/time.ts";
import { askHubTime } from "../../provisioning/enrollers/index.ts";
import type { HubServer } from "../../provisioning/tls/index.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { ClockState } from "../../warden/time/format.ts";

/** The hub is asked at most this often, however many failures call for it. */
export const ASK_INTERVAL_MS_MIN = 10_000;
/**
 * The same once the clock was set from the hub in this boot: then it is more likely that the hub's
 * certificate is wrong.
 */
export const SYNCED_ASK_INTERVAL_MS_MIN = 600_000;
/** A smaller step changes nothing for the dates of a certificate. */
const MOVED_MS_MIN = 60_000;

/** `in-doubt`: a certificate of the hub was refused for its dates, so the clock may be wrong. */
export type CertificateDates = "in-doubt" | "trusted";

export interface TimeAnswer {
  readonly clock: ClockState;
  /**
   * The clock was wrong enough to fail a TLS handshake: what failed for that reason may be tried at
   * once.
   */
  readonly moved: boolean;
}

export interface TimeSync {
  /**
   * Has the warden set the clock from the hub, unless that was done in this boot.
   * @returns the state of the warden's clock afterwards, or undefined when the hub was asked too
   *   short a time ago.
   * @throws Fault of the hub's or the warden's refusal.
   */
  sync(dates: CertificateDates): Promise<TimeAnswer | undefined>;
}

export interface TimeSyncOptions {
  readonly warden: Pick<WardenClient, "call">;
  /** Undefined where the hub has no time service. [TUN-62] */
  readonly hub: HubServer | undefined;
  readonly deviceId: DeviceId;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly signal: AbortSignal;
}

export function createTimeSync({ warden, hub, deviceId, clock, signal }: TimeSyncOptions): TimeSync {
  let askedAtMs = Number.NEGATIVE_INFINITY;
  if (hub === undefined) return { sync: async () => ({ clock: (await warden.call("status.read", {})).clock, moved: false }) };

  const ask = async (dates: "strict" | "waived", before: ClockState): Promise<TimeAnswer> => {
    const startedAtMs = clock.monotonicMs();
    const { nonce } = await warden.call("time.nonce", {});
    const body = JSON.stringify({ deviceId, nonce });
    askedAtMs = clock.monotonicMs();
    const question = { path: HUB_TIME_PATH, body, answer: hubTimeResponseSchema, bytesMax: HUB_TIME_BYTES_MAX };
    const response = await askHubTime(hub, dates, question, { signal });
    const after = await warden.call("time.set", response);
    const stepMs = after.nowMs - before.nowMs - (clock.monotonicMs() - startedAtMs);
    return { clock: after, moved: Math.abs(stepMs) > MOVED_MS_MIN };
  };

  return {
    async sync(dates) {
      const { clock: before } = await warden.call("status.read", {});
      if (before.state === "synced" && dates === "trusted") return { clock: before, moved: false };
      const intervalMs = before.state === "synced" ? SYNCED_ASK_INTERVAL_MS_MIN : ASK_INTERVAL_MS_MIN;
      if (clock.monotonicMs() - askedAtMs < intervalMs) return undefined;
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
