// One MQTT session over one stream, from CONNECT to the end. mqtt.js does the protocol; when to connect, what to send again and what to bound is ours, so its
// own reconnecting, queueing, stores and re-subscribing are off. [TUN-3] [TUN-7]
import mqttClient from "mqtt/lib/client";
import { asFault, Fault } from "../../hal/fault.ts";
import { errorCode } from "../../provisioning/tls/index.ts";
import { connectFault } from "./classify.ts";
import { createFramingGuard } from "./framing.ts";
import { INBOX_RUNNING_MAX, PACKET_BYTES_MAX, type Timeouts, WINDOW_BYTES_MAX, WINDOW_MESSAGES_MAX } from "./limits.ts";
import { MESSAGE_BYTES_MAX } from "./format.ts";
import type { Failure, Mqtt } from "./machine.ts";
import type { Stream } from "./stream.ts";

export interface BrokerConnectionOptions {
  readonly stream: Stream;
  readonly mqtt: Mqtt;
  readonly clientId: string;
  readonly keepaliveS: number;
  readonly timeouts: Timeouts;
  /** What the broker says for us when we are gone without a word. [TUN-9] */
  readonly will: Retained;
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** A message was acknowledged: there may be room for another. */
  readonly onRoom: () => void;
}

export interface Retained {
  readonly topic: string;
  readonly payload: Uint8Array;
}

export interface ConnectionEnd {
  readonly by: "peer" | "fault" | "us";
  readonly fault: Fault;
}

export interface BrokerConnection {
  /** Whether another message fits into what may be on the way. [TUN-7] */
  hasRoom(): boolean;
  /**
   * Resolves with the PUBACK; waits for its turn when the window is full.
   * @throws Fault `spool.too-large` when the broker takes no message of that size, `tunnel.closed` when the connection ended first.
   */
  send(topic: string, payload: Uint8Array, retain: boolean): Promise<void>;
  /** At QoS 1. @throws Fault `tunnel.refused`, `tunnel.timeout`, `tunnel.closed`. */
  subscribe(topics: readonly string[]): Promise<void>;
  /** Says DISCONNECT, so that the will is not published, and waits for the end. `farewell` goes before it, retained, at QoS 0: a full window does not hold it up. */
  close(farewell?: Retained): Promise<void>;
  destroy(fault: Fault): void;
  /** Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
}

export type ConnectOutcome =
  | { readonly connection: BrokerConnection }
  | { readonly connection: undefined; readonly failure: Failure; readonly fault: Fault };

type Client = InstanceType<typeof mqttClient.default>;

interface Flight {
  readonly bytes: number;
  readonly fail: (fault: Fault) => void;
}

/** CONNACK "unacceptable protocol version" (3.1.1 section 3.2.2.3) and "unsupported protocol version" (5.0 section 3.2.2.2). */
const VERSION_REFUSED: ReadonlySet<number> = new Set([1, 132]);

/** Resolves once CONNACK has come, or will not come. Never rejects. [TUN-3] */
export function openBrokerConnection(options: BrokerConnectionOptions): Promise<ConnectOutcome> {
  const { socket } = options.stream;
  return new Promise((resolve) => {
    const client = newClient(options);
    const session = createSession(client, options);
    const early = (ending: ConnectionEnd): void => {
      const failure = session.failure();
      resolve({ connection: undefined, failure, fault: ending.fault });
    };
    void session.connection.ended.then(early);
    client.on("connect", (connack) => {
      session.begun(connack.properties?.receiveMaximum, connack.properties?.maximumPacketSize);
      resolve({ connection: session.connection });
    });
    client.on("message", options.onMessage);
    client.on("disconnect", (packet) => session.said(packet.reasonCode ?? 0));
    client.on("error", (error) => session.broke(error));
    socket.on("error", (error) => session.broke(error));
    socket.on("close", () => session.closed());
  });
}

function newClient(options: BrokerConnectionOptions): Client {
  const guard = createFramingGuard();
  const { socket } = options.stream;
  // Before the client's own listener: what the guard refuses ends the stream before it is parsed any further.
  socket.on("data", (chunk: Buffer) => {
    try {
      guard(chunk);
    } catch (error) {
      socket.destroy(asFault(error, "tunnel.protocol", "read from the hub"));
    }
  });
  const version5 = { protocolVersion: 5 as const, properties: { ...PROPERTIES } };
  return new mqttClient.default(() => socket, {
    ...(options.mqtt === "5" ? version5 : { protocolVersion: 4 as const }),
    protocolId: "MQTT",
    clientId: options.clientId,
    clean: true,
    keepalive: options.keepaliveS,
    reschedulePings: true,
    timerVariant: "native",
    connectTimeout: options.timeouts.answerMs,
    reconnectPeriod: 0,
    reconnectOnConnackError: false,
    resubscribe: false,
    queueQoSZero: false,
    autoUseTopicAlias: false,
    autoAssignTopicAlias: false,
    manualConnect: false,
    // Its table of 65,536 ready-made numbers costs 14 MB of private memory.
    writeCache: false,
    log: () => undefined,
    will: { topic: options.will.topic, payload: bufferOf(options.will.payload), qos: 1, retain: true },
  });
}

/** MQTT 5.0 section 3.1.2.11. No session survives the connection: the spool is our session. */
const PROPERTIES = {
  sessionExpiryInterval: 0,
  receiveMaximum: INBOX_RUNNING_MAX,
  maximumPacketSize: PACKET_BYTES_MAX,
} as const;

interface Session {
  readonly connection: BrokerConnection;
  begun(receiveMaximum: number | undefined, maximumPacketSize: number | undefined): void;
  said(reason: number): void;
  broke(error: unknown): void;
  closed(): void;
  failure(): Failure;
}

function createSession(client: Client, options: BrokerConnectionOptions): Session {
  const { socket } = options.stream;
  const { promise: ended, resolve: end } = Promise.withResolvers<ConnectionEnd>();
  const flights = new Set<Flight>();
  const waiting: (() => void)[] = [];
  let flightBytes = 0;
  let windowMax = WINDOW_MESSAGES_MAX;
  let payloadBytesMax = MESSAGE_BYTES_MAX;
  let up = false;
  let failure: Failure = "silent";
  let ending: ConnectionEnd | undefined;

  /** The first reason counts: what follows from it says less. Once {@link close} has begun nothing that follows from it may cut DISCONNECT off. [TUN-9] */
  function because(by: ConnectionEnd["by"], fault: Fault): void {
    if (ending !== undefined) return;
    ending = { by, fault };
    socket.destroy();
  }

  function broke(error: unknown): void {
    if (ending !== undefined) {
      socket.destroy(); // nothing more will be understood on it, whatever it was waiting for
      return;
    }
    const code = connackCode(error);
    if (!up && code !== undefined) {
      failure = VERSION_REFUSED.has(code) ? "mqtt-version" : "other";
      const words = error instanceof Error ? error.message : "";
      because(
        "peer",
        new Fault("tunnel.refused", `connect as "${options.clientId}": the hub says ${code} (${words})`, { cause: error }),
      );
      return;
    }
    const fault = sessionFault(error);
    // A reset may be all that a broker has to say to an MQTT version it does not know.
    if (!up && !["ECONNRESET", "EPIPE"].includes(errorCode(error))) failure = "other";
    because(fault.code === "tunnel.unreachable" ? "peer" : "fault", fault);
  }

  /** Whoever waits for an acknowledgement will get none. */
  function giveUpFlights(why: Fault): void {
    for (const flight of flights) flight.fail(new Fault("tunnel.closed", why.message, { cause: why }));
    flights.clear();
    for (const start of waiting.splice(0)) start();
  }

  function finish(): void {
    const words = up ? "the hub closed the connection" : "the hub closed the connection before CONNACK";
    ending ??= { by: "peer", fault: new Fault("tunnel.closed", words) };
    giveUpFlights(ending.fault);
    end(ending);
  }

  function takeOff(
    topic: string,
    payload: Uint8Array,
    retain: boolean,
    resolve: () => void,
    reject: (fault: Fault) => void,
  ): void {
    if (ending !== undefined) {
      reject(new Fault("tunnel.closed", `send to "${topic}": ${ending.fault.message}`));
      return;
    }
    const late = (): void =>
      because("fault", new Fault("tunnel.timeout", `send to "${topic}": no PUBACK within ${options.timeouts.ackMs} ms`));
    const timer = setTimeout(late, options.timeouts.ackMs);
    const flight: Flight = {
      bytes: payload.byteLength,
      fail(fault) {
        clearTimeout(timer);
        reject(fault);
      },
    };
    flights.add(flight);
    flightBytes += flight.bytes;
    client.publish(topic, bufferOf(payload), { qos: 1, retain, dup: false }, (error) => {
      if (!flights.delete(flight)) return;
      flightBytes -= flight.bytes;
      if (error === undefined || error === null) {
        clearTimeout(timer);
        resolve();
        waiting.shift()?.();
        options.onRoom();
        return;
      }
      const fault = new Fault("tunnel.refused", `send to "${topic}": ${error.message}`, { cause: error });
      flight.fail(fault);
      because("fault", fault);
    });
  }

  async function close(farewell?: Retained): Promise<void> {
    const late = setTimeout(() => socket.destroy(), options.timeouts.stopMs);
    ending ??= { by: "us", fault: new Fault("tunnel.closed", "the connection was closed by this device") };
    giveUpFlights(ending.fault);
    // DISCONNECT would otherwise wait for acknowledgements that nobody waits for any more; those messages stay in the spool.
    for (const id of Object.keys(client.outgoing)) client.removeOutgoingMessage(Number(id));
    if (farewell !== undefined) client.publish(farewell.topic, bufferOf(farewell.payload), { qos: 0, retain: true });
    client.end(false);
    await ended;
    clearTimeout(late);
  }

  const connection: BrokerConnection = {
    hasRoom: () => flights.size + waiting.length < windowMax && flightBytes + MESSAGE_BYTES_MAX <= WINDOW_BYTES_MAX,
    send(topic, payload, retain) {
      if (payload.byteLength > payloadBytesMax) {
        const told = `send ${payload.byteLength} bytes to "${topic}": the hub takes ${payloadBytesMax}`;
        return Promise.reject(new Fault("spool.too-large", told));
      }
      return new Promise((resolve, reject) => {
        const start = (): void => takeOff(topic, payload, retain, resolve, reject);
        if (flights.size < windowMax) start();
        else waiting.push(start);
      });
    },
    subscribe: (topics) => subscribe(client, topics, options.timeouts.answerMs),
    close,
    destroy: (fault) => because("fault", fault),
    ended,
  };

  return {
    connection,
    begun(receiveMaximum, maximumPacketSize) {
      up = true;
      windowMax = Math.max(1, Math.min(WINDOW_MESSAGES_MAX, receiveMaximum ?? WINDOW_MESSAGES_MAX));
      // A generous guess of what is in a packet beside the payload: our topics have at most 90 bytes.
      payloadBytesMax = Math.min(MESSAGE_BYTES_MAX, (maximumPacketSize ?? PACKET_BYTES_MAX) - 128);
    },
    said(reason) {
      because(
        "peer",
        new Fault(
          "tunnel.closed",
          `the hub ended the connection with reason ${reason}${reason === 142 ? " (session taken over)" : ""}`,
        ),
      );
    },
    broke,
    closed: finish,
    failure: () => failure,
  };
}

/** Shares the memory. */
function bufferOf(payload: Uint8Array): Buffer {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

function subscribe(client: Client, topics: readonly string[], timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Fault("tunnel.timeout", `subscribe: no SUBACK within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    client.subscribe([...topics], { qos: 1 }, (error) => {
      clearTimeout(timer);
      if (error === null) resolve();
      else reject(new Fault("tunnel.refused", `subscribe to "${topics.join('", "')}": ${error.message}`, { cause: error }));
    });
  });
}

/** mqtt.js gives a CONNACK's code as a number where others have a string. */
function connackCode(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}

/** mqtt.js has no codes for its own two timeouts, only "connack timeout" and "Keepalive timeout". */
function sessionFault(error: unknown): Fault {
  if (error instanceof Error && /^(?:connack|keepalive) timeout$/iu.test(error.message))
    return new Fault("tunnel.timeout", `wait for the hub: ${error.message}`, { cause: error });
  return connectFault(error, "talk to the hub");
}
