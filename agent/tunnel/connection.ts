// One MQTT connection over one stream, from CONNECT to the end of the stream. It bounds the
// messages in flight, and turns everything that ends it into one Fault. [TUN-3] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import { errorCode } from "../../provisioning/tls/index.ts";
import { MESSAGE_BYTES_MAX } from "./format.ts";
import { PACKET_BYTES_MAX, WINDOW_BYTES_MAX, WINDOW_MESSAGES_MAX } from "./limits.ts";
import type { Failure } from "./machine.ts";
import {
  bufferOf,
  clientFault,
  connackCode,
  createMqttClient,
  type MqttClient,
  type MqttClientOptions,
  type Retained,
  subscribe,
} from "./mqtt-client.ts";

export interface BrokerConnectionOptions extends MqttClientOptions {
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
  /** A message was acknowledged, so there may be room for another. */
  readonly onRoom: () => void;
}

export interface ConnectionEnd {
  readonly by: "peer" | "fault" | "us";
  /** Its message says what waited for an answer of the hub at the end. */
  readonly fault: Fault;
  /** Reason of the hub's DISCONNECT (MQTT 5.0 section 3.14.2.1). */
  readonly reason?: number;
  /** Whether anything waited for an answer: a message, or the subscription. */
  readonly isUnanswered?: boolean;
}

export interface BrokerConnection {
  /** Whether another message fits into the window of messages in flight. [TUN-7] */
  hasRoom(): boolean;
  /**
   * Resolves with the PUBACK. Waits in line while the window is full.
   * @throws Fault `spool.too-large` when the broker accepts no message of that size;
   *   `tunnel.closed` when the connection ends first.
   */
  send(topic: string, payload: Uint8Array, retain: boolean): Promise<void>;
  /** At QoS 1. @throws Fault `tunnel.refused`, `tunnel.timeout`, `tunnel.closed`. */
  subscribe(topics: readonly string[]): Promise<void>;
  /**
   * Sends DISCONNECT, so that the broker does not publish the will, and waits for the end.
   * `farewell` is published first, retained, at QoS 0: a full window does not delay it.
   */
  close(farewell?: Retained): Promise<void>;
  destroy(fault: Fault): void;
  /** Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
}

export type ConnectOutcome =
  | { readonly connection: BrokerConnection }
  | { readonly connection: undefined; readonly failure: Failure; readonly fault: Fault };

/** A message that was sent and has no PUBACK yet. */
interface Flight {
  readonly topic: string;
  readonly bytes: number;
  /** On the monotonic clock. */
  readonly sentAtMs: number;
  readonly fail: (fault: Fault) => void;
}

/**
 * CONNACK "unacceptable protocol version" (MQTT 3.1.1 section 3.2.2.3) and "unsupported protocol
 * version" (5.0 section 3.2.2.2).
 */
const VERSION_REFUSED: ReadonlySet<number> = new Set([1, 132]);

/**
 * CONNACK "server unavailable" (MQTT 3.1.1 section 3.2.2.3; 5.0 section 3.2.2.2, with "server
 * busy"): about the server, and not about this device.
 */
const UNAVAILABLE: ReadonlySet<number> = new Set([3, 136, 137]);

/** Reasons of a DISCONNECT or a PUBACK, MQTT 5.0 section 2.4. */
export const SESSION_TAKEN_OVER = 142;
export const PACKET_TOO_LARGE = 149;
const REASON_WORDS: ReadonlyMap<number, string> = new Map([
  [135, "not authorized"],
  [137, "server busy"],
  [139, "server shutting down"],
  [SESSION_TAKEN_OVER, "session taken over"],
  [147, "receive maximum exceeded"],
  [PACKET_TOO_LARGE, "packet too large"],
  [150, "message rate too high"],
  [151, "quota exceeded"],
  [152, "administrative action"],
  [153, "payload format invalid"],
]);
/** The hub has too much to do: it is asked again after the longest waits. */
const BUSY: ReadonlySet<number> = new Set([137, 150, 151]);
/** No later attempt changes these: invalid topic name, invalid payload. */
const NEVER_ACCEPTED: ReadonlySet<number> = new Set([144, 153]);

/** A generous bound of a PUBLISH packet beside its payload: our topics have at most 90 bytes. */
const PUBLISH_OVERHEAD_BYTES = 128;

/**
 * Resolves with the connection after CONNACK, or with the reason why there will be none. Never
 * rejects. [TUN-3]
 */
export function openBrokerConnection(options: BrokerConnectionOptions): Promise<ConnectOutcome> {
  const { socket } = options.stream;
  return new Promise((resolve) => {
    const client = createMqttClient(options);
    const connection = new MqttConnection(client, options);
    void connection.ended.then(({ fault }) => resolve({ connection: undefined, failure: connection.failure(), fault }));
    client.on("connect", (connack) => {
      connection.onConnack(connack.properties?.receiveMaximum, connack.properties?.maximumPacketSize);
      resolve({ connection });
    });
    client.on("message", options.onMessage);
    client.on("disconnect", (packet) => connection.onDisconnect(packet.reasonCode ?? 0));
    client.on("error", (error) => connection.onError(error));
    socket.on("error", (error) => connection.onError(error));
    socket.on("close", () => connection.onClose());
  });
}

class MqttConnection implements BrokerConnection {
  readonly ended: Promise<ConnectionEnd>;
  readonly #resolveEnded: (ending: ConnectionEnd) => void;
  readonly #client: MqttClient;
  readonly #options: BrokerConnectionOptions;
  /** In the order in which they were sent. */
  readonly #flights = new Set<Flight>();
  /** Runs while there are flights: one for all, because a timer for each would cost more. */
  #ackTimer: NodeJS.Timeout | undefined;
  /** Starts the messages that found the window full, in order. */
  readonly #waiting: (() => void)[] = [];
  #flightBytes = 0;
  #windowMessagesMax = WINDOW_MESSAGES_MAX;
  #payloadBytesMax = MESSAGE_BYTES_MAX;
  #connected = false;
  #isSubscribing = false;
  #failure: Failure = "silent";
  #ending: ConnectionEnd | undefined;

  constructor(client: MqttClient, options: BrokerConnectionOptions) {
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    this.#client = client;
    this.#options = options;
  }

  hasRoom(): boolean {
    return (
      this.#flights.size + this.#waiting.length < this.#windowMessagesMax &&
      this.#flightBytes + MESSAGE_BYTES_MAX <= WINDOW_BYTES_MAX
    );
  }

  send(topic: string, payload: Uint8Array, retain: boolean): Promise<void> {
    if (payload.byteLength > this.#payloadBytesMax) {
      const message = `send ${payload.byteLength} bytes to "${topic}": the hub accepts ${this.#payloadBytesMax}`;
      return Promise.reject(new Fault("spool.too-large", message));
    }
    return new Promise((resolve, reject) => {
      const start = (): void => this.#publish(topic, payload, retain, resolve, reject);
      if (this.#flights.size < this.#windowMessagesMax) start();
      else this.#waiting.push(start);
    });
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    this.#isSubscribing = true;
    await subscribe(this.#client, topics, this.#options.timeouts.answerMs);
    this.#isSubscribing = false;
  }

  async close(farewell?: Retained): Promise<void> {
    const client = this.#client;
    const timer = setTimeout(() => this.#options.stream.socket.destroy(), this.#options.timeouts.stopMs);
    this.#ending ??= { by: "us", fault: new Fault("tunnel.closed", "the connection was closed by this device") };
    this.#failFlights(this.#ending.fault);
    // DISCONNECT would otherwise wait for acknowledgements that nothing here waits for any more.
    // The messages stay in the spool.
    for (const id of Object.keys(client.outgoing)) client.removeOutgoingMessage(Number(id));
    if (farewell !== undefined) client.publish(farewell.topic, bufferOf(farewell.payload), { qos: 0, retain: true });
    client.end(false);
    await this.ended;
    clearTimeout(timer);
  }

  destroy(fault: Fault): void {
    this.#end("fault", fault);
  }

  /** Why no CONNACK came. */
  failure(): Failure {
    return this.#failure;
  }

  onConnack(receiveMaximum: number | undefined, maximumPacketSize: number | undefined): void {
    this.#connected = true;
    this.#windowMessagesMax = Math.max(1, Math.min(WINDOW_MESSAGES_MAX, receiveMaximum ?? WINDOW_MESSAGES_MAX));
    const packetBytesMax = maximumPacketSize ?? PACKET_BYTES_MAX;
    this.#payloadBytesMax = Math.min(MESSAGE_BYTES_MAX, packetBytesMax - PUBLISH_OVERHEAD_BYTES);
  }

  onDisconnect(reason: number): void {
    const code = BUSY.has(reason) ? "tunnel.busy" : "tunnel.closed";
    const message = `the hub ended the connection with reason ${reason}${meaningOf(reason)}${this.#unanswered()}`;
    this.#end("peer", new Fault(code, message), reason);
  }

  onError(error: unknown): void {
    if (this.#ending !== undefined) {
      // Nothing more will be understood on this stream, so waiting for its end makes no sense.
      this.#options.stream.socket.destroy();
      return;
    }
    const code = connackCode(error);
    if (!this.#connected && code !== undefined) {
      this.#failure = VERSION_REFUSED.has(code) ? "mqtt-version" : "other";
      this.#end("peer", connackFault(this.#options.clientId, code, error));
      return;
    }
    const fault = clientFault(error);
    // A reset, or silence, may be the only answer of a broker that does not know the version of
    // MQTT. [TUN-10]
    const isSilent = ["ECONNRESET", "EPIPE"].includes(errorCode(error)) || fault.code === "tunnel.timeout";
    if (!this.#connected && !isSilent) this.#failure = "other";
    if (fault.code !== "tunnel.unreachable") return this.#end("fault", fault);
    this.#end("peer", new Fault(fault.code, `${fault.message}${this.#unanswered()}`, { cause: error }));
  }

  onClose(): void {
    const message = this.#connected
      ? `the hub closed the connection${this.#unanswered()}`
      : "the hub closed the connection before CONNACK";
    this.#end("peer", new Fault("tunnel.closed", message));
    if (this.#ending === undefined) return;
    this.#failFlights(this.#ending.fault);
    this.#resolveEnded(this.#ending);
  }

  /**
   * Ends the stream for `fault`. Only the first reason counts, because the later ones follow from
   * it. After {@link close} has begun, nothing cuts off its DISCONNECT. [TUN-9]
   */
  #end(by: ConnectionEnd["by"], fault: Fault, reason?: number): void {
    if (this.#ending !== undefined) return;
    const isUnanswered = this.#isSubscribing || this.#flights.size > 0;
    this.#ending = { by, fault, isUnanswered, ...(reason !== undefined && { reason }) };
    this.#options.stream.socket.destroy();
  }

  /** Names what the hub may have ended the connection over. [TUN-80] */
  #unanswered(): string {
    const [first] = this.#flights;
    if (first === undefined) return this.#isSubscribing ? " instead of answering the subscription" : "";
    const others = this.#flights.size === 1 ? "" : ` and ${this.#flights.size - 1} more`;
    return ` instead of acknowledging ${first.bytes} bytes to "${first.topic}"${others}`;
  }

  /** Rejects every send that still waits: no acknowledgement will come. */
  #failFlights(why: Fault): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    for (const flight of this.#flights) flight.fail(new Fault("tunnel.closed", why.message, { cause: why }));
    this.#flights.clear();
    for (const start of this.#waiting.splice(0)) start();
  }

  #publish(topic: string, payload: Uint8Array, retain: boolean, resolve: () => void, reject: (fault: Fault) => void): void {
    if (this.#ending !== undefined) {
      reject(new Fault("tunnel.closed", `send to "${topic}": ${this.#ending.fault.message}`));
      return;
    }
    const flight: Flight = { topic, bytes: payload.byteLength, sentAtMs: performance.now(), fail: reject };
    this.#flights.add(flight);
    this.#flightBytes += flight.bytes;
    this.#ackTimer ??= setTimeout(() => this.#checkOldest(), this.#options.timeouts.ackMs);
    this.#client.publish(topic, bufferOf(payload), { qos: 1, retain, dup: false }, (error) => {
      if (!this.#flights.delete(flight)) return;
      this.#flightBytes -= flight.bytes;
      if (error === undefined || error === null) {
        resolve();
        this.#waiting.shift()?.();
        this.#options.onRoom();
        return;
      }
      const reason = connackCode(error);
      const message = `send ${flight.bytes} bytes to "${topic}": the hub answers ${reason ?? ""} (${error.message})`;
      if (reason !== undefined && NEVER_ACCEPTED.has(reason)) {
        reject(new Fault("spool.too-large", message, { cause: error }));
        this.#waiting.shift()?.();
        this.#options.onRoom();
        return;
      }
      const fault = new Fault("tunnel.refused", message, { cause: error });
      reject(fault);
      this.#end("fault", fault);
    });
  }

  /** Ends the connection when the oldest flight has waited too long for its PUBACK. */
  #checkOldest(): void {
    this.#ackTimer = undefined;
    const [oldest] = this.#flights;
    if (oldest === undefined) return;
    const { ackMs } = this.#options.timeouts;
    const leftMs = oldest.sentAtMs + ackMs - performance.now();
    if (leftMs > 0) this.#ackTimer = setTimeout(() => this.#checkOldest(), Math.ceil(leftMs));
    else this.#end("fault", new Fault("tunnel.timeout", `send to "${oldest.topic}": no PUBACK within ${ackMs} ms`));
  }
}

function meaningOf(reason: number): string {
  const words = REASON_WORDS.get(reason);
  return words === undefined ? "" : ` (${words})`;
}

function connackFault(clientId: string, code: number, error: unknown): Fault {
  const reason = error instanceof Error ? error.message : "";
  const is = UNAVAILABLE.has(code) ? "tunnel.busy" : "tunnel.refused";
  return new Fault(is, `connect as "${clientId}": the hub says ${code} (${reason})`, { cause: error });
}
