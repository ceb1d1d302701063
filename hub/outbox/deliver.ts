// The sender of the outbox in the running hub: sends queued messages to the devices that are
// connected, and sends them again under the same id until they are acknowledged. [TUN-8]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Broker } from "../broker/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { Queued, Store } from "../store/index.ts";

/** Messages sent to one device and not acknowledged: it refuses more than it can handle at once. */
const UNACKNOWLEDGED_PER_DEVICE_MAX = 4;
/** After an acknowledgement the next messages follow this much later, for many devices at once. */
const NEXT_DELAY_MS = 50;
/** An unacknowledged message is sent again, under the same id, after this time. */
const RESEND_MS = 15_000;

export interface DeliveryOptions {
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly deliver: Broker["deliver"];
  readonly onFault: (fault: Fault) => void;
}

export interface OutboxDelivery {
  /** Sends the messages that are due and drops the expired ones. What fails goes to `onFault`. */
  sendDue(): void;
  /** The device's connection ended: unacknowledged messages are sent again when it is back. */
  disconnected(deviceId: DeviceId): void;
  stop(): void;
}

export function startDelivery(options: DeliveryOptions): OutboxDelivery {
  return new Delivery(options);
}

interface InFlight {
  readonly deviceId: DeviceId;
  readonly sinceMs: number;
}

class Delivery implements OutboxDelivery {
  readonly #options: DeliveryOptions;
  /** By message id. */
  readonly #inFlight = new Map<string, InFlight>();
  #next: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  sendDue(): void {
    clearTimeout(this.#next);
    this.#next = undefined;
    this.#guarded(() => {
      const nowMs = Date.now();
      this.#dropExpired(nowMs);
      const { outbox } = this.#options.store;
      for (const { id } of outbox.due(nowMs, UNACKNOWLEDGED_PER_DEVICE_MAX)) {
        const queued = this.#inFlight.has(id) ? undefined : outbox.find(id);
        if (queued !== undefined) this.#send(queued, nowMs);
      }
    });
  }

  disconnected(deviceId: DeviceId): void {
    for (const [id, sent] of this.#inFlight) if (sent.deviceId === deviceId) this.#inFlight.delete(id);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#next);
  }

  #send({ deviceId, id, channel, message }: Queued, sinceMs: number): void {
    this.#inFlight.set(id, { deviceId, sinceMs });
    this.#options.deliver(deviceId, channel, message, {
      acknowledged: () => this.#guarded(() => this.#acknowledge(id)),
      // The device has not subscribed yet. When it does, the due messages are sent.
      unreachable: () => void this.#inFlight.delete(id),
    });
  }

  #acknowledge(id: string): void {
    this.#inFlight.delete(id);
    this.#options.store.outbox.setDelivered(id, Date.now());
    if (!this.#stopped) this.#next ??= setTimeout(() => this.sendDue(), NEXT_DELAY_MS);
  }

  #dropExpired(nowMs: number): void {
    const { store, journal } = this.#options;
    for (const { deviceId, channel, kind, id } of store.outbox.dropExpired(nowMs)) {
      this.#inFlight.delete(id);
      journal("message.expired", deviceId, { channel, kind, id });
    }
    for (const [id, { sinceMs }] of this.#inFlight) if (nowMs - sinceMs >= RESEND_MS) this.#inFlight.delete(id);
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onFault(asFault(error, "hub.store-failed", "deliver the messages for devices"));
    }
  }
}
