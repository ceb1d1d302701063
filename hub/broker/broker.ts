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
import { type DeviceAdmission, settleSuccessor } from "../devices/index.ts";
import { encodeMessage, type HubInbox } from "../inbox/index.ts";
import { guardConnections, type GuardedConnections } from "../gate.ts";
import type { JournalWriter } from "../journal.ts";
import {
  MQTT_CONNECT_BYTES_MAX,
  MQTT_CONNECT_MS_MAX,
  MQTT_FILTERS_MAX,
  MQTT_INFLIGHT_MAX,
  MQTT_PACKET_OVERHEAD_BYTES_MAX,
  MQTT_PACKETS_BURST,
  MQTT_PACKETS_PER_S,
  MQTT_PROVEN_MAX,
  MQTT_SUBSCRIBE_BYTES_MAX,
  MQTT_UNPROVEN_MAX,
} from "../limits.ts";
import { Pace } from "../pace.ts";
import { sourceOf } from "../source.ts";
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
  readonly authority: X509Certificate;
  readonly minTls: ServerTlsVersion;
  /** A client that takes nothing of what is sent to it for so long is cut off. Default: 20 s. */
  readonly progressMs?: number;
  readonly judge: (certificate: X509Certificate | undefined) => Promise<DeviceAdmission>;
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
  recheck(): Promise<void>;
  renew(server: KeyAndCertificate): void;
  stop(): Promise<void>;
}

const FRAMING = {
  firstBytesMax: MQTT_CONNECT_BYTES_MAX,
  packetBytesMax: MESSAGE_BYTES_MAX + MQTT_PACKET_OVERHEAD_BYTES_MAX,
  subscribeBytesMax: MQTT_SUBSCRIBE_BYTES_MAX,
  filtersMax: MQTT_FILTERS_MAX,
};
const KEEPALIVE_MS = 60_000;
/** How long clients may take to close after the broker's goodbye. */
const CLOSE_MS_MAX = 500;
const STOPPING = "the hub is stopping";

/** @throws Fault `hub.listen-failed`. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { store, journal, inbox, onClosed, onFault } = options;
  const connections = new WeakMap<Connection, ClientConnection>();
  const connectionOf = (connection: Connection): ClientConnection | undefined => connections.get(connection);
  const sessions = new Sessions({ store, journal, connectionOf, onClosed, onFault });
  const deliveries = new Deliveries();
  const aedes = await Aedes.createBroker({
    ...createHooks({
      connectionOf,
      deliveries,
      inbox,
      journal,
      onAdmitted: (client) => sessions.replaceEarlier(client),
      onSucceeding: async ({ deviceId, fingerprint }) => {
        const inForce = await settleSuccessor({ store }, deviceId, fingerprint);
        await sessions.recheck();
        return inForce;
      },
      onFault,
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
  readonly #pace = new Pace({ burst: MQTT_PACKETS_BURST, perSecond: MQTT_PACKETS_PER_S });
  readonly #server: Server;
  readonly #gate: GuardedConnections;

  constructor(options: BrokerOptions, { aedes, connections, sessions, deliveries }: BrokerParts) {
    this.#options = options;
    this.#aedes = aedes;
    this.#connections = connections;
    this.#sessions = sessions;
    this.#deliveries = deliveries;
    this.#server = createServer({ ...this.#tls(options.server), ALPNProtocols: ["mqtt"] });
    this.#gate = guardConnections(this.#server, {
      service: "mqtt",
      unprovenMax: MQTT_UNPROVEN_MAX,
      provenMax: MQTT_PROVEN_MAX,
      authority: options.authority,
      journal: options.journal,
      ...(options.progressMs === undefined ? {} : { progressMs: options.progressMs }),
    });
    // After the gate, which may have ended it.
    this.#server.on("secureConnection", (socket: TLSSocket) => {
      if (!socket.destroyed) void this.#accept(socket);
    });
    aedes.on("clientReady", (client) => sessions.open(client));
    aedes.on("clientDisconnect", (client) => sessions.close(client));
    aedes.on("clientError", (client, error) => sessions.noteEnd(client, error.message));
    aedes.on("subscribe", (_subscriptions, client) => {
      const admission = connections.get(client.conn)?.admission;
      if (admission?.admitted !== true) return;
      const { deviceId } = admission;
      void sessions.recorded(deviceId).then(() => options.onSubscribed(deviceId));
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

  recheck(): Promise<void> {
    return this.#sessions.recheck();
  }

  renew(server: KeyAndCertificate): void {
    this.#server.setSecureContext(this.#tls(server));
  }

  async stop(): Promise<void> {
    this.#sessions.endAll(STOPPING);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#gate.stop();
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS_MAX))]);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await this.#sessions.settled();
  }

  #tls(server: KeyAndCertificate): ReturnType<typeof tlsOptions> {
    return tlsOptions(server, this.#options.authorityPem, this.#options.minTls);
  }

  async #accept(socket: TLSSocket): Promise<void> {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // Until the broker reads the stream, nobody else would hear of an error.
    socket.on("error", () => undefined);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.setNoDelay(true);
    const { rechecks } = this.#sessions;
    let admission: DeviceAdmission;
    try {
      admission = await this.#options.judge(socket.getPeerX509Certificate());
    } catch (error) {
      this.#options.onFault(asFault(error, "hub.store-failed", "judge a connection"));
      socket.destroy();
      return;
    }
    if (socket.destroyed) return;
    const connection = createClientConnection(socket, admission, rechecks);
    const paced = admission.admitted ? admission.deviceId : `from ${sourceOf(connection.address)}`;
    const stream = createBoundedStream(socket, FRAMING, {
      refused: (bytes, filters) => {
        connection.endReason ??= filters === undefined ? "packet too large" : "too many filters";
        const deviceId = connection.admission.admitted ? connection.admission.deviceId : undefined;
        this.#options.journal("packet.refused", deviceId, { bytes, filters, address: connection.address });
      },
      read: (packets, bytes) => this.#pace.charge(paced, packets + Math.floor(bytes / 1024)),
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
