// The hub's MQTT broker: aedes behind the hub's own TLS server, which asks for a certificate but
// does not reject one. A refusal is a CONNACK with a reason. [TUN-3]
import { randomUUID, type X509Certificate } from "node:crypto";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { Aedes, type Connection } from "aedes";
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
import { type ClientConnection, createClientConnection } from "./client-connection.ts";
import { Deliveries } from "./deliveries.ts";
import { createHooks } from "./hooks.ts";
import { Sessions } from "./sessions.ts";
import { createBoundedStream } from "./stream.ts";

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
  /** A device receives now what is sent to it, on one topic at least. */
  readonly onSubscribed: (deviceId: DeviceId) => void;
  readonly onClosed: (deviceId: DeviceId) => void;
  readonly onFault: (fault: Fault) => void;
}

export interface Receipt {
  acknowledged(): void;
  /** The device is not connected, or has not subscribed to that topic. */
  unreachable(): void;
}

export interface Broker {
  readonly port: number;
  /**
   * Sends an answer to a device's `down/` topic. A device that is not connected does not get it.
   */
  send(deviceId: DeviceId, channel: DownChannel, body: AuditAnswer["body"] | JsonValue): void;
  /**
   * Sends an encoded message and reports its delivery: calls one of the receipt's functions, or
   * none when the connection ends first.
   */
  deliver(deviceId: DeviceId, channel: DownChannel, message: string, receipt: Receipt): void;
  /** Ends the connections of devices that may no longer be connected. */
  recheck(): void;
  renew(server: KeyAndCertificate): void;
  stop(): Promise<void>;
}

const FRAMING = { firstBytesMax: MQTT_CONNECT_BYTES_MAX, packetBytesMax: MESSAGE_BYTES_MAX + MQTT_PACKET_OVERHEAD_BYTES_MAX };
const KEEPALIVE_MS = 60_000;
/** How long clients may take to close after the broker's goodbye. */
const CLOSE_MS_MAX = 500;
const STOPPING = "the hub is stopping";

/** @throws Fault `hub.listen-failed`. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { store, journal, inbox, onClosed } = options;
  const connections = new WeakMap<Connection, ClientConnection>();
  const connectionOf = (connection: Connection): ClientConnection | undefined => connections.get(connection);
  const sessions = new Sessions({ store, journal, connectionOf, onClosed });
  const deliveries = new Deliveries();
  const aedes = await Aedes.createBroker({
    ...createHooks({
      connectionOf,
      deliveries,
      inbox,
      journal,
      onAdmitted: (client) => sessions.replaceEarlier(client),
      stopping: () => sessions.ending,
    }),
    connectTimeout: MQTT_CONNECT_MS_MAX,
    maxClientsIdLength: 64,
    maxInflightInbound: MQTT_INFLIGHT_MAX,
    maxTopicLevels: 8,
  });
  const broker = new TlsBroker(options, { aedes, connections, sessions, deliveries });
  try {
    await broker.listen();
  } catch (error) {
    // the broker's timers would keep the process alive [OPS-12]
    await new Promise<void>((resolve) => aedes.close(resolve));
    throw error;
  }
  return broker;
}

interface BrokerParts {
  readonly aedes: Aedes;
  readonly connections: WeakMap<Connection, ClientConnection>;
  readonly sessions: Sessions;
  readonly deliveries: Deliveries;
}

class TlsBroker implements Broker {
  readonly #options: BrokerOptions;
  readonly #aedes: Aedes;
  readonly #connections: WeakMap<Connection, ClientConnection>;
  readonly #sessions: Sessions;
  readonly #deliveries: Deliveries;
  readonly #sockets = new Set<TLSSocket>();
  readonly #server: Server;

  constructor(options: BrokerOptions, { aedes, connections, sessions, deliveries }: BrokerParts) {
    this.#options = options;
    this.#aedes = aedes;
    this.#connections = connections;
    this.#sessions = sessions;
    this.#deliveries = deliveries;
    this.#server = createServer({ ...this.#tls(options.server), ALPNProtocols: ["mqtt"] }, (socket) => this.#accept(socket));
    this.#server.maxConnections = MQTT_CONNECTIONS_MAX;
    aedes.on("clientReady", (client) => sessions.open(client));
    aedes.on("clientDisconnect", (client) => sessions.close(client));
    aedes.on("clientError", (client, error) => sessions.noteEnd(client, error.message));
    aedes.on("subscribe", (_subscriptions, client) => {
      const admission = connections.get(client.conn)?.admission;
      if (admission?.admitted === true) options.onSubscribed(admission.deviceId);
    });
    aedes.addListener("error", (error: unknown) => options.onFault(asFault(error, "tunnel.protocol", "run the broker")));
  }

  get port(): number {
    return portOf(this.#server);
  }

  /** @throws Fault `hub.listen-failed`. */
  listen(): Promise<void> {
    const { listen: host, port, onFault } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(asFault(error, "hub.listen-failed", `listen for MQTT on ${host}:${port}`)));
      this.#server.listen(port, host, () => {
        this.#server.on("error", (error) => onFault(asFault(error, "hub.listen-failed", "accept MQTT connections")));
        resolve();
      });
    });
  }

  send(deviceId: DeviceId, channel: DownChannel, body: AuditAnswer["body"] | JsonValue): void {
    this.#publish(deviceId, channel, Buffer.from(encodeMessage(randomUUID(), body)));
  }

  deliver(deviceId: DeviceId, channel: DownChannel, message: string, receipt: Receipt): void {
    const payload = Buffer.from(message);
    let forwarded = false;
    this.#deliveries.observe(payload, {
      acknowledged: () => receipt.acknowledged(),
      forwarded: () => (forwarded = true),
    });
    this.#publish(deviceId, channel, payload, () => {
      if (!forwarded) receipt.unreachable();
    });
  }

  recheck(): void {
    this.#sessions.recheck();
  }

  renew(server: KeyAndCertificate): void {
    this.#server.setSecureContext(this.#tls(server));
  }

  async stop(): Promise<void> {
    this.#sessions.endAll(STOPPING);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS_MAX))]);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #tls(server: KeyAndCertificate): ReturnType<typeof tlsOptions> {
    return tlsOptions(server, this.#options.authorityPem, this.#options.minTls);
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.setNoDelay(true);
    const connection = createClientConnection(socket, this.#options.judge);
    const stream = createBoundedStream(socket, FRAMING, {
      refused: (bytes) => {
        connection.endReason ??= "packet too large";
        const deviceId = connection.admission.admitted ? connection.admission.deviceId : undefined;
        this.#options.journal("packet.refused", deviceId, { bytes, address: connection.address });
      },
      acknowledged: (messageId) => this.#deliveries.acknowledge(connection, messageId),
    });
    this.#connections.set(stream, connection);
    this.#aedes.handle(stream);
  }

  #publish(deviceId: DeviceId, channel: DownChannel, payload: Buffer, then: () => void = () => undefined): void {
    const packet = { cmd: "publish", topic: downTopic(deviceId, channel), payload, qos: 1, retain: false, dup: false } as const;
    this.#aedes.publish(packet, (error) => {
      if (error !== undefined && error !== null)
        this.#options.onFault(asFault(error, "tunnel.protocol", `send to "${deviceId}"`));
      then();
    });
  }
}
