// The mqtt.js client for one connection. mqtt.js does the protocol only: when to connect, what to
// send again and what to bound is decided here, so its own reconnecting, queueing, stores and
// re-subscribing are off. [TUN-3] [TUN-7]
import mqttClient from "mqtt/lib/client";
import { asFault, Fault } from "../../hal/fault.ts";
import { connectFault } from "./classify.ts";
import { createFramingGuard } from "./framing.ts";
import { PACKET_BYTES_MAX, RECEIVE_MAX, type Timeouts } from "./limits.ts";
import type { Mqtt } from "./machine.ts";
import type { Stream } from "./stream.ts";

export type MqttClient = InstanceType<typeof mqttClient.default>;

export interface MqttClientOptions {
  readonly stream: Stream;
  readonly mqtt: Mqtt;
  readonly clientId: string;
  readonly keepaliveS: number;
  readonly sessionExpiryS: number;
  readonly timeouts: Timeouts;
  /**
   * What the broker publishes for this device when the connection ends without DISCONNECT. [TUN-9]
   */
  readonly will: Retained;
}

/** A retained message. */
export interface Retained {
  readonly topic: string;
  readonly payload: Uint8Array;
}

/**
 * MQTT 5.0 section 3.1.2.11. Our own direction needs no session, because the spool has that role.
 * One is asked for where the broker should keep what it has for a device that is away. [TUN-64]
 */
const PROPERTIES = {
  receiveMaximum: RECEIVE_MAX,
  maximumPacketSize: PACKET_BYTES_MAX,
} as const;

/** Sends CONNECT on the stream. Bytes that the framing guard refuses end the stream. */
export function createMqttClient(options: MqttClientOptions): MqttClient {
  const { socket } = options.stream;
  const guard = createFramingGuard();
  // Registered before the client's own listener, so that the client does not parse what is refused.
  socket.on("data", (chunk: Buffer) => {
    try {
      guard(chunk);
    } catch (error) {
      socket.destroy(asFault(error, "tunnel.protocol", "read from the hub"));
    }
  });
  const version5 = { protocolVersion: 5 as const, properties: { ...PROPERTIES, sessionExpiryInterval: options.sessionExpiryS } };
  return new mqttClient.default(() => socket, {
    ...(options.mqtt === "5" ? version5 : { protocolVersion: 4 as const }),
    protocolId: "MQTT",
    clientId: options.clientId,
    clean: options.sessionExpiryS === 0,
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

/**
 * Subscribes at QoS 1.
 * @throws Fault `tunnel.refused`; `tunnel.timeout` without SUBACK within `timeoutMs`.
 */
export function subscribe(client: MqttClient, topics: readonly string[], timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timedOut = (): void => reject(new Fault("tunnel.timeout", `subscribe: no SUBACK within ${timeoutMs} ms`));
    const timer = setTimeout(timedOut, timeoutMs);
    client.subscribe([...topics], { qos: 1 }, (error) => {
      clearTimeout(timer);
      if (error === null) resolve();
      else reject(new Fault("tunnel.refused", `subscribe to "${topics.join('", "')}": ${error.message}`, { cause: error }));
    });
  });
}

/** A Buffer over the same memory. */
export function bufferOf(payload: Uint8Array): Buffer {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

/**
 * @returns the reason code of a refusing CONNACK. mqtt.js gives it as a number; other errors have
 *   strings.
 */
export function connackCode(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}

/**
 * mqtt.js has no codes for its two timeouts, only the messages "connack timeout" and "Keepalive
 * timeout".
 */
export function clientFault(error: unknown): Fault {
  if (error instanceof Error && /^(?:connack|keepalive) timeout$/iu.test(error.message))
    return new Fault("tunnel.timeout", `wait for the hub: ${error.message}`, { cause: error });
  return connectFault(error, "talk to the hub");
}
