// Which PUBACK is for which message. The broker keeps nothing for sessions that end with the connection, so packet identifiers are given and heard here.
import type { AedesPublishPacket } from "aedes";
import { ON_THE_WAY_PER_LINK_MAX } from "../limits.ts";
import type { ClientConnection } from "./client-connection.ts";

export interface Watch {
  /** It goes to the device now. */
  forwarded(): void;
  /** The device has it. MQTT 3.1.1 section 4.3.2. */
  acknowledged(): void;
}

export interface Deliveries {
  /** @param payload the very bytes that are published: the broker copies packets, not these. */
  watch(payload: Uint8Array, watch: Watch): void;
  /** The packet as it goes to the device behind `link`. */
  forward(link: ClientConnection, packet: AedesPublishPacket): AedesPublishPacket;
  acknowledged(link: ClientConnection, messageId: number): void;
}

interface Sent {
  nextId: number;
  readonly watches: Map<number, Watch>; // in the order of sending
}

const MESSAGE_ID_MAX = 65_535;

export function openDeliveries(): Deliveries {
  const watched = new WeakMap<object, Watch>();
  const links = new WeakMap<ClientConnection, Sent>();
  return {
    watch: (payload, watch) => void watched.set(payload, watch),
    forward: (link, packet) => {
      const sent: Sent = links.get(link) ?? { nextId: 1, watches: new Map<number, Watch>() };
      links.set(link, sent);
      const messageId = sent.nextId;
      sent.nextId = messageId === MESSAGE_ID_MAX ? 1 : messageId + 1;
      const watch = typeof packet.payload === "string" ? undefined : watched.get(packet.payload);
      sent.watches.delete(messageId);
      if (watch !== undefined) {
        sent.watches.set(messageId, watch);
        watch.forwarded();
      }
      const [oldest] = sent.watches.keys();
      if (sent.watches.size > ON_THE_WAY_PER_LINK_MAX && oldest !== undefined) sent.watches.delete(oldest);
      return { ...packet, messageId };
    },
    acknowledged: (link, messageId) => {
      const sent = links.get(link);
      const watch = sent?.watches.get(messageId);
      sent?.watches.delete(messageId);
      watch?.acknowledged();
    },
  };
}
