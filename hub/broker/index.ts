// The hub's MQTT broker: aedes behind our own TLS server. It asks for a certificate without rejecting, and refuses with a CONNACK. [TUN-3]
import { randomUUID, type X509Certificate } from "node:crypto";
import { createServer, type TLSSocket } from "node:tls";
import { Aedes, type Client, type Connection } from "aedes";
import { type AuditAnswer, type DownChannel, downTopic, MESSAGE_BYTES_MAX } from "../../agent/tunnel/format.ts";
import { asFault, type Fault } from "../../hal/fault.ts";
import type { JsonValue } from "../../hal/format/json.ts";
import { type DeviceId } from "../../hal/format/identity.ts";
import type { KeyAndCertificate } from "../authority/index.ts";
import type { DeviceAdmission } from "../devices/index.ts";
import { encodeMessage, type HubInbox } from "../inbox/index.ts";
import type { JournalWriter } from "../journal.ts";
import {
  MQTT_CONNECT_BYTES_MAX,
  MQTT_CONNECT_MS_MAX,
  MQTT_CONNECTIONS_MAX,
  MQTT_INFLIGHT_MAX,
  MQTT_PACKET_OVERHEAD_BYTES_MAX,
} from "../limits.ts";
import type { Store } from "../store/index.ts";
import { portOf, tlsOptions, type ServerTlsVersion } from "../tls.ts";
import { openDeliveries } from "./deliveries.ts";
import { brokerHooks } from "./hooks.ts";
import { type ClientConnection, clientConnectionOf } from "./client-connection.ts";
import { boundedStream } from "./stream.ts";
import { openSessions } from "./sessions.ts";

export interface BrokerOptions {
  readonly listen: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly server: KeyAndCertificate;
  readonly authorityPem: string;
  readonly minTls: ServerTlsVersion;
  readonly judge: (certificate: X509Certificate | undefined) => DeviceAdmission;
  readonly store: Store;
  readonly inbox: HubInbox;
  readonly journal: JournalWriter;
  /** A device hears now what is sent to it, on some topic at least. */
  readonly onSubscribed: (deviceId: DeviceId) => void;
  readonly onClosed: (deviceId: DeviceId) => void;
  readonly onFault: (fault: Fault) => void;
}

export interface Receipt {
  acknowledged(): void;
  /** The device is not connected, or not subscribed to that topic. */
  nobody(): void;
}

export interface Broker {
  readonly port: number;
  /** Answers on a device's `down/` topic; a device that is away does not get it. */
  send(deviceId: DeviceId, channel: DownChannel, body: AuditAnswer["body"] | JsonValue): void;
  /** A whole message, and whether it arrives: one of the two is called, or none when the connection ends before. */
  deliver(deviceId: DeviceId, channel: DownChannel, message: string, receipt: Receipt): void;
  /** Ends the connections of devices that may no longer be connected. */
  recheck(): void;
  renew(server: KeyAndCertificate): void;
  stop(): Promise<void>;
}

const FRAMING = { firstBytesMax: MQTT_CONNECT_BYTES_MAX, packetBytesMax: MESSAGE_BYTES_MAX + MQTT_PACKET_OVERHEAD_BYTES_MAX };

/** @throws Fault `hub.listen-failed`. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { store, inbox, journal, judge, onFault } = options;
  const links = new WeakMap<Connection, ClientConnection>();
  const sockets = new Set<TLSSocket>();
  const life = { stopping: false };
  const tls = (server: KeyAndCertificate) => tlsOptions(server, options.authorityPem, options.minTls);
  const linkFor = (connection: Connection): ClientConnection | undefined => links.get(connection);
  const sessions = openSessions({ store, journal, linkOf: linkFor, onClosed: options.onClosed });
  const deliveries = openDeliveries();
  const hooks = brokerHooks({
    linkOf: linkFor,
    deliveries,
    inbox,
    journal,
    admitted: (client) => sessions.admitted(client),
    closed: () => (life.stopping ? "the hub stops" : undefined),
  });

  const broker = await Aedes.createBroker({
    ...hooks,
    connectTimeout: MQTT_CONNECT_MS_MAX,
    maxClientsIdLength: 64,
    maxInflightInbound: MQTT_INFLIGHT_MAX,
    maxTopicLevels: 8,
  });
  broker.on("clientReady", (client) => sessions.opened(client));
  broker.on("clientDisconnect", (client) => sessions.closed(client));
  broker.on("subscribe", (_subscriptions, client) => {
    const link = linkFor(client.conn);
    if (link?.admission.admitted === true) options.onSubscribed(link.admission.deviceId);
  });
  broker.on("clientError", (client, error) => noteEnd(client, error));
  broker.addListener("error", (error: unknown) => onFault(asFault(error, "tunnel.protocol", "run the broker")));
  const noteEnd = (client: Client, error: Error): void => {
    const link = linkFor(client.conn);
    if (link !== undefined) link.ended ??= error.message;
  };

  const server = createServer({ ...tls(options.server), ALPNProtocols: ["mqtt"] }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.setKeepAlive(true, 60_000);
    socket.setNoDelay(true);
    const link = clientConnectionOf(socket, judge);
    const stream = boundedStream(socket, FRAMING, {
      refused: (length) => {
        link.ended ??= "packet too large";
        const deviceId = link.admission.admitted ? link.admission.deviceId : undefined;
        journal("packet.refused", deviceId, { bytes: length, address: link.address });
      },
      acknowledged: (messageId) => deliveries.acknowledged(link, messageId),
    });
    links.set(stream, link);
    broker.handle(stream);
  });
  const publish = (deviceId: DeviceId, channel: DownChannel, payload: Buffer, then: () => void = () => undefined): void => {
    const packet = { cmd: "publish", topic: downTopic(deviceId, channel), payload, qos: 1, retain: false, dup: false } as const;
    broker.publish(packet, (error) => {
      if (error !== undefined && error !== null) onFault(asFault(error, "tunnel.protocol", `send to "${deviceId}"`));
      then();
    });
  };
  server.maxConnections = MQTT_CONNECTIONS_MAX;
  try {
    await listening(server, options.listen, options.port, onFault);
  } catch (error) {
    // its timers would keep the process alive
    await new Promise<void>((resolve) => broker.close(resolve));
    throw error;
  }
  return {
    port: portOf(server),
    send: (deviceId, channel, body) => publish(deviceId, channel, Buffer.from(encodeMessage(randomUUID(), body))),
    deliver: (deviceId, channel, message, receipt) => {
      const payload = Buffer.from(message);
      let forwarded = false;
      deliveries.watch(payload, { acknowledged: () => receipt.acknowledged(), forwarded: () => (forwarded = true) });
      publish(deviceId, channel, payload, () => {
        if (!forwarded) receipt.nobody();
      });
    },
    recheck: () => sessions.recheck(),
    renew: (renewed) => server.setSecureContext(tls(renewed)),
    stop: async () => {
      life.stopping = true;
      sessions.ending("the hub stops");
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => broker.close(resolve));
      for (const socket of sockets) socket.destroySoon();
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 500))]);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listening(
  server: ReturnType<typeof createServer>,
  host: string,
  port: number,
  onFault: (fault: Fault) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(asFault(error, "hub.listen-failed", `listen for MQTT on ${host}:${port}`)));
    server.listen(port, host, () => {
      server.on("error", (error) => onFault(asFault(error, "hub.listen-failed", "accept MQTT connections")));
      resolve();
    });
  });
}
