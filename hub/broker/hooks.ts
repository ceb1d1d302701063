// Every hook of the broker, set explicitly: its defaults let everybody do everything. [TUN-3] [TUN-11]
import { randomUUID } from "node:crypto";
import type { AedesOptions, AuthenticateError, Client, Connection, ConnectPacket } from "aedes";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type AdmissionRefusal, REFUSALS } from "../devices/index.ts";
import type { HubInbox } from "../inbox/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { Deliveries } from "./deliveries.ts";
import type { ClientConnection } from "./client-connection.ts";
import { mayPublish, mayReceive, maySubscribe } from "./rights.ts";

export interface HookOptions {
  readonly linkOf: (connection: Connection) => ClientConnection | undefined;
  readonly deliveries: Deliveries;
  readonly inbox: HubInbox;
  readonly journal: JournalWriter;
  /** A client whose certificate and id were accepted, before its CONNACK. */
  readonly admitted: (client: Client) => void;
  /** Undefined, or why nobody is let in now. */
  readonly closed: () => string | undefined;
}

/** CONNACK return codes, MQTT 3.1.1 table 3.1. */
type ReturnCode = 2 | 3 | 5;
interface Refusal {
  readonly code: ReturnCode;
  readonly reason: AdmissionRefusal | "client-id" | "will" | "mqtt-version" | "hub-stopping";
  readonly words: string;
}

export type Hooks = Required<
  Pick<AedesOptions, "preConnect" | "authenticate" | "authorizePublish" | "authorizeSubscribe" | "authorizeForward" | "published">
>;

export function brokerHooks({ linkOf, deliveries, inbox, journal, admitted, closed }: HookOptions): Hooks {
  const refusals = new WeakMap<Client, Refusal>();

  const deviceOf = (client: Client | null): DeviceId | undefined => {
    const link = client === null ? undefined : linkOf(client.conn);
    return link?.admission.admitted === true ? link.admission.deviceId : undefined;
  };

  return {
    preConnect: (client, packet, done) => {
      const link = linkOf(client.conn);
      if (link === undefined) return done(new Fault("assert.broken", "a connection without its TLS session"), false);
      const refusal = judge(link, packet, closed());
      if (refusal !== undefined) {
        refuse(journal, link, packet, refusal);
        refusals.set(client, refusal);
        // the broker keeps state by client id: someone refused must not be able to name one
        packet.clientId = `refused-${randomUUID()}`;
        delete packet.will;
      }
      // Nothing is kept for clients that are away: what must reach them is asked for again by them. So no queue grows for a device that never returns.
      packet.clean = true;
      done(null, true);
    },

    authenticate: (client, _username, _password, done) => {
      const refusal = refusals.get(client);
      if (refusal !== undefined) return done(connackError(refusal), false); // [TUN-3] a CONNACK, not a cut line
      admitted(client);
      done(null, deviceOf(client) !== undefined);
    },

    authorizePublish: (client, packet, done) => {
      const deviceId = deviceOf(client);
      if (client === null || deviceId === undefined) return done(new Fault("tunnel.refused", "publish without a device"));
      const right = mayPublish(deviceId, packet);
      if ("refused" in right) {
        const { topic } = packet;
        journal("topic.refused", deviceId, {
          verb: "publish",
          topic,
          reason: right.refused,
          address: linkOf(client.conn)?.address,
        });
        return done(new Fault("tunnel.refused", `publish to "${topic}": ${right.refused}`));
      }
      // durable first, PUBACK after: the broker acknowledges when this calls back
      inbox.accept(deviceId, right.channel, Buffer.from(packet.payload), (fault) => done(fault ?? null));
    },

    authorizeSubscribe: (client, subscription, done) => {
      const deviceId = deviceOf(client);
      if (deviceId !== undefined && maySubscribe(deviceId, subscription.topic)) return done(null, subscription);
      const { topic } = subscription;
      journal("topic.refused", deviceId, { verb: "subscribe", topic, address: linkOf(client.conn)?.address });
      done(null, null); // SUBACK 0x80
    },

    authorizeForward: (client, packet) => {
      const link = linkOf(client.conn);
      if (link?.admission.admitted !== true || !mayReceive(link.admission.deviceId, packet.topic)) return null;
      return deliveries.forward(link, packet);
    },

    published: (_packet, _client, done) => done(null),
  };
}

function judge(link: ClientConnection, packet: ConnectPacket, closed: string | undefined): Refusal | undefined {
  const { admission } = link;
  if (closed !== undefined) return { code: 3, reason: "hub-stopping", words: closed };
  if (!admission.admitted) return { code: 5, reason: admission.reason, words: REFUSALS[admission.reason] };
  // answered by the broker itself with "unacceptable protocol version", before it asks us again [TUN-10]
  if (packet.protocolVersion !== 3 && packet.protocolVersion !== 4)
    return { code: 5, reason: "mqtt-version", words: `it speaks MQTT version ${packet.protocolVersion ?? "unknown"}` };
  if (packet.clientId !== admission.deviceId)
    return { code: 2, reason: "client-id", words: "its client id is not the CN of its certificate" };
  if (packet.will === undefined) return undefined;
  const right = mayPublish(admission.deviceId, packet.will);
  if ("refused" in right) return { code: 5, reason: "will", words: `its will is ${right.refused}` };
  // [TUN-9] the one thing said for a device that can't say it itself
  return right.channel === "status" ? undefined : { code: 5, reason: "will", words: "its will is not its status" };
}

function refuse(journal: JournalWriter, link: ClientConnection, packet: ConnectPacket, refusal: Refusal): void {
  const { admission, address, protocol, group } = link;
  const { reason, words } = refusal;
  const proven = admission.admitted ? admission.deviceId : undefined;
  const claimed = admission.admitted ? undefined : admission.claimed;
  link.ended = reason;
  if (reason === "mqtt-version")
    return journal("connection.mqtt-version", proven, { version: packet.protocolVersion, address, clientId: packet.clientId });
  journal("connection.refused", proven, { reason, words, address, claimed, clientId: packet.clientId, protocol, group });
}

function connackError({ code, words }: Refusal): AuthenticateError {
  return Object.assign(new Fault("tunnel.refused", `refused: ${words}`), { returnCode: code });
}
