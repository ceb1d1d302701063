// The driver of the tunnel: runs what the machine decides, hands what is spooled to the connection, and tells what happened.
import type { SecureContext } from "node:tls";
import type * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import type { TunnelStatus } from "../status/format.ts";
import { type BrokerConnection, type ConnectionEnd, openBrokerConnection, type ConnectOutcome } from "./connection.ts";
import { DOWN_CHANNELS, type DownChannel, downTopic, upTopic } from "./format.ts";
import { createInbox, type MessageSchema } from "./inbox.ts";
import { DELIVERIES_MAX } from "./limits.ts";
import { type Effect, type Event, initial, type Mqtt, next, type State } from "./machine.ts";
import { encodeMessage } from "./messages.ts";
import type { ConnectedFacts, TunnelOptions } from "./options.ts";
import { createPump } from "./pump.ts";
import { createReconnectWaiters } from "./reconnect-waiters.ts";
import { readMqtt5Refusal, writeMqtt5Refusal } from "./record.ts";
import type { SpoolClass } from "./spool/index.ts";
import { createContext, openStream } from "./stream.ts";

/** What is reported through the spool, with its class there. [TUN-6] */
const CLASS_OF = { result: "result", update: "result", event: "event", telemetry: "telemetry" } as const satisfies Readonly<
  Record<string, SpoolClass>
>;
export type ReportChannel = keyof typeof CLASS_OF;

export interface Tunnel {
  /** Connects, and keeps connecting until {@link stop}. */
  start(): Promise<void>;
  /** Publishes `offline` and `clean`, says DISCONNECT, and waits for the end; each of the two at most `timeouts.stopMs`. [TUN-9] */
  stop(): Promise<void>;
  /**
   * Resolves when the message is durable in the spool: it will reach the hub at least once. Telemetry resolves when it is taken, and may be lost.
   * @throws Fault `spool.too-large`, `spool.full`, and those of the files.
   */
  publish(channel: ReportChannel, body: { readonly kind: string } & Readonly<Record<string, unknown>>): Promise<void>;
  /**
   * Sends now, past the spool, and resolves with the broker's acknowledgement: for what has a log of its own to send again from.
   * @throws Fault `tunnel.closed`, `tunnel.busy` with too many on the way, `tunnel.refused`, `spool.too-large`.
   */
  deliver(channel: "audit", body: object): Promise<void>;
  /** One handler a channel. What does not fit `schema`, comes twice or comes too fast is not handled: event `input-refused`. */
  onMessage<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => void | Promise<void>,
  ): void;
  status(): TunnelStatus;
  /** Connects now instead of waiting; a connection that is up or being made is made again, as when the credentials have changed. */
  reconnectNow(): void;
  /**
   * Ends the connection there is, and resolves when one that began after this call has its session: what came before it in the network is behind us. [LCK-13]
   * @throws Fault `tunnel.closed` when `signal` aborts first.
   */
  renew(signal: AbortSignal): Promise<void>;
}

export function createTunnel(options: TunnelOptions): Tunnel {
  const { deviceId, clock, spool, onEvent } = options;
  const inbox = createInbox(deviceId, (channel, fault) => onEvent({ kind: "input-refused", channel, fault }));
  let state: State = initial(undefined);
  let context: { readonly cert: string; readonly key: string; readonly tls: SecureContext } | undefined;
  let connection: BrokerConnection | undefined;
  let facts: ConnectedFacts | undefined;
  let attempt = new AbortController();
  let waiting = new AbortController();
  let running: Promise<void> = Promise.resolve();
  /** From start to stop, another object each time. */
  let life: object | undefined;
  let connections = 0;
  let deliveries = 0;
  let telemetryLost = 0;
  const renewals = createReconnectWaiters();
  let lastFault: Fault | undefined;

  const pump = createPump({
    spool,
    topic: (channel) => upTopic(deviceId, channel),
    connection: () => connection,
  });

  function apply(event: Event): void {
    const step = next(state, event);
    state = step.state;
    for (const effect of step.effects) run(effect);
  }

  function run(effect: Effect): void {
    switch (effect.do) {
      case "connect":
        running = connectOnce(effect.mqtt);
        return;
      case "close":
        attempt.abort();
        return;
      case "wait":
        waiting = new AbortController();
        void wait(effect.delayMs, waiting.signal);
        return;
      case "stop-waiting":
        waiting.abort();
        return;
      case "report-kicks":
        reportKicks(effect.kicks);
        return;
      case "remember":
        writeMqtt5Refusal(options.files, effect.mqtt5RefusedAtMs).catch(memoryFault);
        return;
    }
  }

  async function remembered(): Promise<number | undefined> {
    try {
      return await readMqtt5Refusal(options.files);
    } catch (error) {
      memoryFault(error);
      return undefined;
    }
  }

  function memoryFault(error: unknown): void {
    onEvent({ kind: "memory-fault", fault: asFault(error, "file.read-failed", "remember the broker's MQTT version") });
  }

  function reportKicks(kicks: number): void {
    const words = `the hub ended ${kicks} connections in a row at once: another client may use the id "${deviceId}"`;
    lastFault = new Fault("tunnel.kicked", words, { cause: lastFault });
    onEvent({ kind: "kicked", kicks, fault: lastFault });
  }

  async function wait(delayMs: number, signal: AbortSignal): Promise<void> {
    await clock.sleep(delayMs, signal);
    if (!signal.aborted) apply({ kind: "waited", wallMs: clock.nowMs() });
  }

  /** From TCP to the end of the connection. Never rejects: what goes wrong is an event for the machine. */
  async function connectOnce(mqtt: Mqtt): Promise<void> {
    attempt = new AbortController();
    const { signal } = attempt;
    const began = renewals.began();
    const outcome = await open(mqtt, signal);
    if (outcome.connection === undefined) {
      lastFault = outcome.fault;
      // Stopped while connecting: nobody refused us. A broker without MQTT 5 has answered a question, and is asked with 3.1.1 at once. [TUN-10]
      const answered = mqtt === "5" && outcome.failure === "mqtt-version";
      if (!signal.aborted && !answered) onEvent({ kind: "refused", fault: outcome.fault });
      apply({ kind: "failed", failure: outcome.failure, nowMs: clock.monotonicMs(), random: options.random() });
      return;
    }
    const ending = await serve(outcome.connection, signal, began);
    connection = undefined;
    facts = undefined;
    lastFault = ending.by === "us" ? undefined : ending.fault;
    onEvent({ kind: "disconnected", by: ending.by, fault: ending.fault });
    const nowMs = clock.monotonicMs();
    apply({ kind: "ended", by: ending.by, nowMs, wallMs: clock.nowMs(), random: options.random() });
  }

  async function open(mqtt: Mqtt, signal: AbortSignal): Promise<ConnectOutcome> {
    try {
      const stream = await openStream({
        host: options.anchors.host,
        address: options.connectTo ?? { host: options.anchors.host, port: options.anchors.mqttPort },
        proxy: options.proxy,
        alpn: options.alpn,
        context: await currentContext(),
        timeoutMs: options.timeouts.streamMs,
        signal,
      });
      facts = { ...stream.facts, mqtt };
      const stopEarly = (): void => void stream.socket.destroy();
      signal.addEventListener("abort", stopEarly, { once: true });
      if (signal.aborted) stopEarly();
      const outcome = await openBrokerConnection({
        stream,
        mqtt,
        clientId: deviceId,
        keepaliveS: options.keepaliveS,
        timeouts: options.timeouts,
        will: { topic: upTopic(deviceId, "status"), payload: encodeMessage({ state: "offline", reason: "lost" }, clock.nowMs()) },
        onMessage: (topic, payload) => inbox.take(topic, payload),
        onRoom: pump,
      });
      signal.removeEventListener("abort", stopEarly);
      return outcome;
    } catch (error) {
      return { connection: undefined, failure: "other", fault: asFault(error, "tunnel.protocol", "connect to the hub") };
    }
  }

  /** One TLS context per certificate and key, however often we connect. */
  async function currentContext(): Promise<SecureContext> {
    const { cert, key } = await options.credentials();
    if (context === undefined || context.cert !== cert || context.key !== key) {
      const { authority } = options.anchors;
      context = { cert, key, tls: createContext({ cert, key, authority, minTls: options.minTls }) };
    }
    return context.tls;
  }

  /** From CONNACK to the end. [TUN-3] [TUN-9] */
  async function serve(opened: BrokerConnection, signal: AbortSignal, began: number): Promise<ConnectionEnd> {
    connections += 1;
    apply({ kind: "connack", nowMs: clock.monotonicMs(), wallMs: clock.nowMs() });
    if (facts !== undefined) onEvent({ kind: "connected", facts });
    const closing = goodbye(opened, signal);
    try {
      await opened.subscribe(DOWN_CHANNELS.map((channel) => downTopic(deviceId, channel)));
      if (facts !== undefined)
        await opened.send(upTopic(deviceId, "status"), encodeMessage(options.birth(facts), clock.nowMs()), true);
      await spool.rewind();
      if (!signal.aborted) {
        connection = opened;
        renewals.serving(began);
      }
      pump();
    } catch (error) {
      opened.destroy(asFault(error, "tunnel.protocol", "begin the session"));
    }
    const ending = await opened.ended;
    attempt.abort();
    await closing;
    return ending;
  }

  /** Waits until we are told to close, or the connection ends; then leaves politely. Never rejects. */
  async function goodbye(opened: BrokerConnection, signal: AbortSignal): Promise<void> {
    await aborted(signal);
    connection = undefined;
    if (state.phase.at !== "idle") return opened.close();
    const topic = upTopic(deviceId, "status");
    const payload = encodeMessage({ state: "offline", reason: "clean" }, clock.nowMs());
    const enough = new AbortController();
    const acknowledged = opened.send(topic, payload, true).then(
      () => true,
      () => false,
    );
    const tooLate = clock.sleep(options.timeouts.stopMs, enough.signal).then(() => false);
    const heard = await Promise.race([acknowledged, tooLate]);
    enough.abort();
    // Said once more where it may not have left us: without it the retained status would say for ever that we are online.
    return opened.close(heard ? undefined : { topic, payload });
  }

  return {
    async start() {
      if (life !== undefined) return;
      const mine = {};
      life = mine;
      await running;
      const refusedAtMs = await remembered();
      if (life !== mine) return; // stopped meanwhile
      state = initial(refusedAtMs);
      apply({ kind: "start", wallMs: clock.nowMs() });
    },
    async stop() {
      life = undefined;
      apply({ kind: "stop" });
      await running;
    },
    async publish(channel, body) {
      const stored = spool.append(CLASS_OF[channel], channel, encodeMessage(body, clock.nowMs())).then(pump);
      if (channel !== "telemetry") return stored;
      stored.catch((error: unknown) => {
        telemetryLost += 1;
        onEvent({ kind: "telemetry-lost", fault: asFault(error, "spool.full", "spool telemetry") });
      });
    },
    async deliver(channel, body) {
      if (connection === undefined) throw new Fault("tunnel.closed", `deliver on "${channel}": the tunnel is not connected`);
      if (deliveries >= DELIVERIES_MAX)
        throw new Fault("tunnel.busy", `deliver on "${channel}": ${deliveries} deliveries are on the way`);
      deliveries += 1;
      try {
        await connection.send(upTopic(deviceId, channel), encodeMessage(body, clock.nowMs()), false);
      } finally {
        deliveries -= 1;
      }
    },
    onMessage: (channel, schema, handle) => inbox.on(channel, schema, handle),
    status: () => describe({ state, options, facts, connections, lastFault, telemetryLost }),
    reconnectNow() {
      apply({ kind: "hurry", wallMs: clock.nowMs() });
    },
    renew(signal) {
      const renewed = renewals.wait(signal);
      apply({ kind: "hurry", wallMs: clock.nowMs() });
      return renewed;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function describe(tunnel: {
  readonly state: State;
  readonly options: TunnelOptions;
  readonly facts: ConnectedFacts | undefined;
  readonly connections: number;
  readonly lastFault: Fault | undefined;
  readonly telemetryLost: number;
}): TunnelStatus {
  const { state, options, facts, lastFault } = tunnel;
  const { phase } = state;
  const nowMs = options.clock.monotonicMs();
  const spool = options.spool.status();
  const up = phase.at === "connected" && facts !== undefined;
  return {
    state: phase.at,
    hub: `${options.anchors.host}:${options.anchors.mqttPort}`,
    ...(up ? { peer: facts.peer, tls: facts.protocol, cipher: facts.cipher, group: facts.group, mqtt: facts.mqtt } : {}),
    ...(phase.at === "connected" ? { connectedForS: Math.floor((nowMs - phase.sinceMs) / 1000) } : {}),
    ...(phase.at === "waiting" ? { retryInS: Math.max(0, Math.ceil((phase.untilMs - nowMs) / 1000)) } : {}),
    connections: tunnel.connections,
    ...(lastFault === undefined ? {} : { lastFault: { code: lastFault.code, message: lastFault.message.slice(0, 2048) } }),
    spool: { ...spool, dropped: spool.dropped + tunnel.telemetryLost },
  };
}
