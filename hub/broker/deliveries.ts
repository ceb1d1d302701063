// The match between a PUBACK and the message it acknowledges. The broker keeps no state for
// sessions that end with the connection, so packet identifiers are assigned and followed here.
import type { AedesPublishPacket } from "aedes";
import type { ClientConnection } from "./client-connection.ts";

/** Messages to one connection that wait for a PUBACK. A message sent again counts twice. */
const UNACKNOWLEDGED_MAX = 32;
const MESSAGE_ID_MAX = 65_535;

export interface DeliveryObserver {
  /** The message goes to the device now. */
  forwarded(): void;
  /** The device has it. MQTT 3.1.1 section 4.3.2. */
  acknowledged(): void;
}

interface Sent {
  nextId: number;
  /** By packet identifier, in the order of sending. */
  readonly observers: Map<number, DeliveryObserver>;
}

export class Deliveries {
  readonly #observed = new WeakMap<object, DeliveryObserver>();
  readonly #sent = new WeakMap<ClientConnection, Sent>();

  /**
   * @param payload the very buffer that is published: the broker copies packets, but not payloads.
   */
  observe(payload: Uint8Array, observer: DeliveryObserver): void {
    this.#observed.set(payload, observer);
  }

  /** @returns `packet` as it goes to the device behind `connection`, with its packet identifier. */
  forward(connection: ClientConnection, packet: AedesPublishPacket): AedesPublishPacket {
    const sent = this.#sentOf(connection);
    const messageId = sent.nextId;
    sent.nextId = messageId === MESSAGE_ID_MAX ? 1 : messageId + 1;
    sent.observers.delete(messageId);
    const observer = typeof packet.payload === "string" ? undefined : this.#observed.get(packet.payload);
    if (observer !== undefined) {
      sent.observers.set(messageId, observer);
      observer.forwarded();
    }
    const [oldest] = sent.observers.keys();
    if (sent.observers.size > UNACKNOWLEDGED_MAX && oldest !== undefined) sent.observers.delete(oldest);
    return { ...packet, messageId };
  }

  acknowledge(connection: ClientConnection, messageId: number): void {
    const observers = this.#sent.get(connection)?.observers;
    const observer = observers?.get(messageId);
    observers?.delete(messageId);
    observer?.acknowledged();
  }

  #sentOf(connection: ClientConnection): Sent {
    const known = this.#sent.get(connection);
    if (known !== undefined) return known;
    const sent: Sent = { nextId: 1, observers: new Map() };
    this.#sent.set(connection, sent);
    return sent;
  }
}
