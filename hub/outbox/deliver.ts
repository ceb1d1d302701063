// The sender of the outbox in the running hub: sends queued messages to the devices that are
// connected, and sends them again under the same id until they are acknowledged. [TUN-8]
import { asFault, Fault } from "../../hal/fault.ts";
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
  /** [STA-53] By which expired messages are removed. Which are still sent, the wall clock says. */
  readonly retentionMs: () => number;
}

export interface OutboxDelivery {
  /** Sends the messages that are due and drops the expired ones. What fails goes to `onFault`. */
  sendDue(): void;
  /** The device's connection ended: unacknowledged messages are sent again when it is back. */
  disconnected(deviceId: DeviceId): void;
  /** Resolves when nothing of it uses the store any more. */
  stop(): Promise<void>;
}

export function startDelivery(options: DeliveryOptions): OutboxDelivery {
  return new Delivery(options);
}

interface InFlight {
  readonly deviceId: DeviceId;
  /** By the monotonic clock: one that is set back must not keep a message from being resent. */
  readonly sinceMs: number;
}

class Delivery implements OutboxDelivery {
  readonly #options: DeliveryOptions;
  /** By message id. */
  readonly #inFlight = new Map<string, InFlight>();
  /** Acknowledged, but the store does not have that yet. */
  readonly #delivered = new Set<string>();
  readonly #acknowledging = new Set<Promise<void>>();
  #next: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #wanted = false;
  #stopped = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  sendDue(): void {
    clearTimeout(this.#next);
    this.#next = undefined;
    this.#wanted = true;
    if (this.#sending === undefined) this.#sending = this.#sendAll().finally(() => (this.#sending = undefined));
  }

  disconnected(deviceId: DeviceId): void {
    for (const [id, sent] of this.#inFlight) if (sent.deviceId === deviceId) this.#inFlight.delete(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#next);
    await this.#sending;
    await Promise.all(this.#acknowledging);
  }

  async #sendAll(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      this.#wanted = false;
      await this.#guarded(async () => {
        try {
          await this.#sendOnce(Date.now());
        } catch (error) {
          if (!(await this.#dropUnreadable())) throw error;
          this.#wanted = true;
        }
      });
    }
  }

  async #sendOnce(nowMs: number): Promise<void> {
    await this.#dropExpired();
    for (const queued of await this.#options.store.outbox.due(nowMs, UNACKNOWLEDGED_PER_DEVICE_MAX))
      if (!this.#inFlight.has(queued.id) && !this.#delivered.has(queued.id)) this.#send(queued);
  }

  #send({ deviceId, id, channel, message }: Queued): void {
    this.#inFlight.set(id, { deviceId, sinceMs: performance.now() });
    this.#options.deliver(deviceId, channel, message, {
      acknowledged: () => this.#acknowledge(id),
      // The device has not subscribed yet. When it does, the due messages are sent.
      unreachable: () => void this.#inFlight.delete(id),
    });
  }

  #acknowledge(id: string): void {
    this.#inFlight.delete(id);
    this.#delivered.add(id);
    const { store } = this.#options;
    const stored = this.#guarded(() => store.commit(store.outbox.setDelivered(id, Date.now())));
    this.#acknowledging.add(stored);
    void stored.then(() => {
      this.#acknowledging.delete(stored);
      this.#delivered.delete(id);
      if (!this.#stopped) this.#next ??= setTimeout(() => this.sendDue(), NEXT_DELAY_MS);
    });
  }

  /**
   * [STA-15] One message that cannot be read would keep all others from being sent.
   * @returns whether there was one.
   */
  async #dropUnreadable(): Promise<boolean> {
    const { store, onFault } = this.#options;
    const count = await store.outbox.unreadable();
    if (count === 0) return false;
    await store.commit(store.outbox.removeUnreadable());
    onFault(new Fault("hub.store-failed", `${count} messages for devices could not be read and were removed; send them again`));
    return true;
  }

  async #dropExpired(): Promise<void> {
    const { store, journal, retentionMs } = this.#options;
    const expired = await store.outbox.expired(retentionMs());
    // Called often, so it must not write when there is nothing to do.
    if (expired.length > 0) await store.commit(...expired.map(({ id }) => store.outbox.remove(id)));
    for (const { deviceId, channel, kind, id, deliveredAtMs } of expired) {
      this.#inFlight.delete(id);
      if (deliveredAtMs === undefined) journal("message.expired", deviceId, { channel, kind, id });
    }
    const nowMs = performance.now();
    for (const [id, { sinceMs }] of this.#inFlight) if (nowMs - sinceMs >= RESEND_MS) this.#inFlight.delete(id);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#options.onFault(asFault(error, "hub.store-failed", "deliver the messages for devices"));
    }
  }
}
