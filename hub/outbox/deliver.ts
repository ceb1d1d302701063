// The serving hub's side of the outbox: sends what waits to the devices that are connected, again under the same id until it is acknowledged. [TUN-8]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Broker } from "../broker/index.ts";
import type { JournalWriter } from "../journal.ts";
import { OUTBOX_AGAIN_MS, OUTBOX_NEXT_MS, OUTBOX_ON_THE_WAY_MAX } from "../limits.ts";
import type { Queued, Store } from "../store/index.ts";

export interface DeliveryOptions {
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly deliver: Broker["deliver"];
  readonly onFault: (fault: Fault) => void;
}

export interface OutboxDelivery {
  /** Sends what is due, lets go what is over. What fails is told to `onFault`: nobody waits for it. */
  look(): void;
  /** Its connection ended: what was on the way to it goes again when it is back. */
  left(deviceId: DeviceId): void;
  stop(): void;
}

export function startDelivery({ store, journal, deliver, onFault }: DeliveryOptions): OutboxDelivery {
  /** By message id. */
  const onTheWay = new Map<string, { readonly deviceId: DeviceId; readonly sinceMs: number }>();
  let next: NodeJS.Timeout | undefined;
  let stopped = false;

  const guarded = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      onFault(asFault(error, "hub.store-failed", "look after the messages for devices"));
    }
  };
  const acknowledged = (id: string): void => {
    onTheWay.delete(id);
    store.outbox.delivered(id, Date.now());
    if (!stopped) next ??= setTimeout(look, OUTBOX_NEXT_MS);
  };
  const send = ({ deviceId, id, channel, message }: Queued, sinceMs: number): void => {
    onTheWay.set(id, { deviceId, sinceMs });
    deliver(deviceId, channel, message, {
      acknowledged: () => guarded(() => acknowledged(id)),
      nobody: () => void onTheWay.delete(id), // not subscribed yet: that is when it is looked at again
    });
  };
  const letGo = (nowMs: number): void => {
    for (const { deviceId, channel, kind, id } of store.outbox.dropExpired(nowMs)) {
      onTheWay.delete(id);
      journal("message.expired", deviceId, { channel, kind, id });
    }
    for (const [id, { sinceMs }] of onTheWay) if (nowMs - sinceMs >= OUTBOX_AGAIN_MS) onTheWay.delete(id);
  };
  const look = (): void => {
    clearTimeout(next);
    next = undefined;
    guarded(() => {
      const nowMs = Date.now();
      letGo(nowMs);
      for (const { id } of store.outbox.due(nowMs, OUTBOX_ON_THE_WAY_MAX)) {
        const queued = onTheWay.has(id) ? undefined : store.outbox.find(id);
        if (queued !== undefined) send(queued, nowMs);
      }
    });
  };

  return {
    look,
    left: (deviceId) => {
      for (const [id, sent] of onTheWay) if (sent.deviceId === deviceId) onTheWay.delete(id);
    },
    stop: () => {
      stopped = true;
      clearTimeout(next);
    },
  };
}
