// The driver of the tunnel. It runs the effects that the state machine decides on, sends what is
// spooled over the connection that is up, and reports what happens as events.
import type { SecureContext } from "node:tls";
import type * as v from "valibot";
import { aborted } from "../../hal/aborted.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import type { TunnelStatus } from "../status/format.ts";
import { type BrokerConnection, type ConnectionEnd, openBrokerConnection, type ConnectOutcome } from "./connection.ts";
import { type AnswerQueue, createAnswerQueue } from "./answers.ts";
import { createContextCache } from "./context-cache.ts";
import { DOWN_CHANNELS, type DownChannel, downTopic, type UpChannel, upTopic } from "./format.ts";
import { createInbox, type Inbox, type MessageSchema } from "./inbox.ts";
import { causeOf, isCrowded } from "./endings.ts";
import { DELIVERIES_MAX, PAUSE_MS } from "./limits.ts";
import { type Effect, type Event, initial, type Mqtt, next, type State } from "./machine.ts";
import { encodeMessage } from "./messages.ts";
import type { ConnectedFacts, TunnelOptions } from "./options.ts";
import { createPump } from "./pump.ts";
import { createReconnectWaiters } from "./reconnect-waiters.ts";
import { readMqtt5Refusal, writeMqtt5Refusal } from "./record.ts";
import { createSetAside, type SetAside } from "./set-aside.ts";
import type { SpoolClass } from "./spool/index.ts";
import { describeTunnel } from "./status.ts";
import { openStream } from "./stream.ts";
import { createSuspects, type Suspects } from "./suspects.ts";

/** The channels that go through the spool, with the class of their messages there. [TUN-6] */
const CLASS_OF = { result: "result", update: "result", event: "event", telemetry: "telemetry" } as const satisfies Readonly<
  Record<string, SpoolClass>
>;
export type ReportChannel = keyof typeof CLASS_OF;
const SPOOLED: readonly ReportChannel[] = ["result", "update", "event", "telemetry"];

export interface Tunnel {
  /** Connects, and connects again after every end, until {@link stop}. */
  start(): Promise<void>;
  /**
   * Publishes `offline` with reason `clean`, sends DISCONNECT, and waits for the end of the
   * connection. The acknowledgement and the end each take at most `timeouts.stopMs`. [TUN-9]
   */
  stop(): Promise<void>;
  /**
   * Resolves when the message is durable in the spool: the hub will get it at least once. Telemetry
   * resolves as soon as it is accepted, and may be lost.
   * @throws Fault `spool.too-large`, `spool.full`, and the faults of the files.
   */
  publish(channel: ReportChannel, body: { readonly kind: string } & Readonly<Record<string, unknown>>): Promise<void>;
  /**
   * Sends now, without the spool, and resolves with the broker's acknowledgement. For senders that
   * have a log of their own from which they can send again.
   * @throws Fault `tunnel.closed`, `tunnel.busy` with too many deliveries in flight,
   *   `tunnel.refused`, `spool.too-large`.
   */
  deliver(channel: "audit" | "event", body: object): Promise<void>;
  /**
   * Queues an answer in memory and sends it without the spool, once more on each connection until
   * it is acknowledged: for answers that the hub can cause without end. [OPS-6]
   * @throws Fault `spool.too-large`.
   */
  answer(body: { readonly kind: string } & Readonly<Record<string, unknown>>): void;
  /**
   * Sets the one handler of a channel. A message that does not fit `schema`, is a duplicate, or
   * comes too fast is not handled; all but duplicates are reported as the event `input-refused`.
   */
  onMessage<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => void | Promise<void>,
  ): void;
  /**
   * As {@link onMessage}, for a handler that gets every valid message and answers it. [OPS-6]
   * @param refuse gets what is JSON and does not fit `schema`. [OPS-23]
   */
  onEveryMessage<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => Promise<void>,
    refuse: (value: unknown, fault: Fault) => void,
  ): void;
  status(): TunnelStatus;
  /**
   * Connects now instead of waiting. A connection that is up or being made is closed and made
   * again, as is needed after the credentials have changed.
   */
  reconnectNow(): void;
  /**
   * Ends the current connection. Resolves when a connection that began after this call has its
   * session, so that the whole network path is known to be a new one. [LCK-35]
   * @throws Fault `tunnel.closed` when `signal` aborts first.
   */
  renew(signal: AbortSignal): Promise<void>;
}

export function createTunnel(options: TunnelOptions): Tunnel {
  return new MqttTunnel(options);
}

class MqttTunnel implements Tunnel {
  readonly #options: TunnelOptions;
  readonly #inbox: Inbox;
  readonly #pump: () => void;
  readonly #suspects: Suspects = createSuspects(
    () => this.#pump(),
    (topic) => this.#reportPause(topic),
  );
  readonly #setAside: SetAside;
  readonly #answers: AnswerQueue;
  readonly #currentContext: () => Promise<SecureContext>;
  readonly #waiters = createReconnectWaiters();
  #state: State = initial(undefined);
  /** One object for each time from start to stop; undefined while the tunnel is stopped. */
  #started: object | undefined;
  /** The work of the last attempt, from TCP to the end of its connection. Never rejects. */
  #running: Promise<void> = Promise.resolve();
  #attempt = new AbortController();
  #backOff = new AbortController();
  /** The connection that takes messages: from its birth message until it ends or has to close. */
  #connection: BrokerConnection | undefined;
  /** The connection since its CONNACK, until it ends. */
  #serving: BrokerConnection | undefined;
  #facts: ConnectedFacts | undefined;
  #connections = 0;
  #deliveries = 0;
  #telemetryLost = 0;
  #lastFault: Fault | undefined;

  constructor(options: TunnelOptions) {
    const { deviceId, onEvent, spool } = options;
    this.#options = options;
    this.#setAside = createSetAside(options);
    this.#inbox = createInbox(deviceId, (channel, fault) => onEvent({ kind: "input-refused", channel, fault }));
    this.#pump = createPump({
      spool,
      topic: (channel) => upTopic(deviceId, channel),
      connection: () => this.#suspects.guard(this.#connection),
      isPaused: (cls) => this.#isPaused(cls),
      setAside: (message, fault) => this.#setAside.keep(message, (this.#lastFault = fault)),
    });
    this.#answers = createAnswerQueue({
      topic: upTopic(deviceId, "result"),
      connection: () => this.#connection,
      end: (fault) => this.#endFlood(fault),
    });
    this.#currentContext = createContextCache(options);
  }

  async start(): Promise<void> {
    if (this.#started !== undefined) return;
    const started = {};
    this.#started = started;
    await this.#running;
    const refusedAtMs = await this.#readRefusal();
    await this.#setAside.load();
    if (this.#started !== started) return; // stopped meanwhile
    this.#state = initial(refusedAtMs);
    this.#apply({ kind: "start", wallMs: this.#options.clock.nowMs() });
  }

  async stop(): Promise<void> {
    this.#started = undefined;
    this.#apply({ kind: "stop" });
    await this.#running;
  }

  async publish(channel: ReportChannel, body: { readonly kind: string } & Readonly<Record<string, unknown>>): Promise<void> {
    const { spool, clock } = this.#options;
    const stored = spool.append(CLASS_OF[channel], channel, encodeMessage(body, clock.nowMs())).then(this.#pump);
    if (channel !== "telemetry") return stored;
    stored.catch((error: unknown) => {
      this.#telemetryLost += 1;
      this.#options.onEvent({ kind: "telemetry-lost", fault: asFault(error, "spool.full", "spool telemetry") });
    });
  }

  async deliver(channel: "audit" | "event", body: object): Promise<void> {
    if (this.#connection === undefined) throw new Fault("tunnel.closed", `deliver on "${channel}": the tunnel is not connected`);
    if (this.#deliveries >= DELIVERIES_MAX)
      throw new Fault("tunnel.busy", `deliver on "${channel}": ${this.#deliveries} deliveries are in flight`);
    this.#deliveries += 1;
    try {
      await this.#connection.send(this.#topic(channel), this.#encode(body), false);
    } finally {
      this.#deliveries -= 1;
    }
  }

  answer(body: { readonly kind: string } & Readonly<Record<string, unknown>>): void {
    this.#answers.add(this.#encode(body));
  }

  onMessage<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => void | Promise<void>,
  ): void {
    this.#inbox.on(channel, schema, handle);
  }

  onEveryMessage<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => Promise<void>,
    refuse: (value: unknown, fault: Fault) => void,
  ): void {
    this.#inbox.onEvery(channel, schema, handle, refuse);
  }

  status(): TunnelStatus {
    return describeTunnel({
      state: this.#state,
      options: this.#options,
      facts: this.#facts,
      connections: this.#connections,
      lastFault: this.#lastFault,
      telemetryLost: this.#telemetryLost,
      setAside: this.#setAside.count(),
    });
  }

  reconnectNow(): void {
    this.#apply({ kind: "reconnect", wallMs: this.#options.clock.nowMs() });
  }

  renew(signal: AbortSignal): Promise<void> {
    const renewed = this.#waiters.wait(signal);
    this.reconnectNow();
    return renewed;
  }

  #apply(event: Event): void {
    const step = next(this.#state, event);
    this.#state = step.state;
    for (const effect of step.effects) this.#run(effect);
  }

  #run(effect: Effect): void {
    switch (effect.do) {
      case "connect":
        this.#running = this.#connectOnce(effect.mqtt);
        return;
      case "close":
        this.#attempt.abort();
        return;
      case "wait":
        this.#backOff = new AbortController();
        void this.#wait(effect.delayMs, this.#backOff.signal);
        return;
      case "stop-waiting":
        this.#backOff.abort();
        return;
      case "report-kicks":
        this.#reportKicks(effect.kicks);
        return;
      case "remember":
        writeMqtt5Refusal(this.#options.files, effect.mqtt5RefusedAtMs).catch((error: unknown) => this.#recordFault(error));
        return;
    }
  }

  /** Without a readable record the tunnel starts as if it had none. */
  async #readRefusal(): Promise<number | undefined> {
    try {
      return await readMqtt5Refusal(this.#options.files);
    } catch (error) {
      this.#recordFault(error);
      return undefined;
    }
  }

  /**
   * [OPS-6] Answers are never dropped in silence: a hub that asks faster than it takes them has to
   * connect again.
   */
  #endFlood(fault: Fault): void {
    this.#serving?.destroy(fault);
  }

  #recordFault(error: unknown): void {
    const fault = asFault(error, "file.read-failed", "remember the broker's MQTT version");
    this.#options.onEvent({ kind: "memory-fault", fault });
  }

  #isPaused(cls: SpoolClass): boolean {
    return SPOOLED.some((channel) => CLASS_OF[channel] === cls && this.#suspects.isPaused(this.#topic(channel)));
  }

  #reportPause(topic: string): void {
    const message = `every connection ends over messages to "${topic}": they wait ${PAUSE_MS / 60_000} minutes, and the others go on; see the broker's rights for that topic`;
    this.#options.onEvent({ kind: "paused", fault: new Fault("tunnel.refused", message) });
  }

  #reportKicks(kicks: number): void {
    const { deviceId, onEvent } = this.#options;
    const message = `the hub ended ${kicks} connections in a row at once: another client may use the id "${deviceId}"`;
    this.#lastFault = new Fault("tunnel.kicked", message, { cause: this.#lastFault });
    onEvent({ kind: "kicked", kicks, fault: this.#lastFault });
  }

  async #wait(delayMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(delayMs, signal);
    if (!signal.aborted) this.#apply({ kind: "waited", wallMs: clock.nowMs() });
  }

  /**
   * From TCP to the end of the connection. Never rejects: a failure is an event for the machine.
   */
  async #connectOnce(mqtt: Mqtt): Promise<void> {
    this.#attempt = new AbortController();
    const { signal } = this.#attempt;
    const number = this.#waiters.beginAttempt();
    const outcome = await this.#open(mqtt, signal);
    if (outcome.connection === undefined) this.#failed(mqtt, outcome, signal);
    else this.#ended(await this.#serve(outcome.connection, signal, number));
  }

  #failed(mqtt: Mqtt, { failure, fault }: Extract<ConnectOutcome, { failure: unknown }>, signal: AbortSignal): void {
    const { clock, onEvent, random } = this.#options;
    this.#lastFault = fault;
    // A stop while connecting is no refusal. Neither is a broker without MQTT 5: it has answered a
    // question, and is asked with 3.1.1 at once. [TUN-10]
    const versionAnswered = mqtt === "5" && failure === "mqtt-version";
    if (!signal.aborted && !versionAnswered) onEvent({ kind: "refused", fault });
    const crowded = isCrowded(fault);
    this.#apply({ kind: "failed", failure, crowded, nowMs: clock.monotonicMs(), random: random() });
  }

  #ended(ending: ConnectionEnd): void {
    const { by, fault } = ending;
    const { clock, onEvent, random } = this.#options;
    this.#connection = undefined;
    this.#facts = undefined;
    this.#lastFault = by === "us" ? undefined : fault;
    onEvent({ kind: "disconnected", by, fault });
    const isSuspected = this.#suspects.suspects();
    const cause = causeOf(ending, isSuspected);
    const times = { nowMs: clock.monotonicMs(), wallMs: clock.nowMs() };
    // a hub that refuses one message does not refuse this device
    const crowded = isCrowded(fault) && !isSuspected;
    this.#apply({ kind: "ended", by: cause, crowded, ...times, random: random() });
  }

  /** From TCP to CONNACK. Never rejects. */
  async #open(mqtt: Mqtt, signal: AbortSignal): Promise<ConnectOutcome> {
    const { anchors, connectTo, proxy, alpn, timeouts, deviceId, keepaliveS, sessionExpiryS = 0 } = this.#options;
    try {
      const stream = await openStream({
        host: anchors.host,
        address: connectTo ?? { host: anchors.host, port: anchors.mqttPort },
        proxy,
        alpn,
        context: await this.#currentContext(),
        authority: anchors.authority,
        timeoutMs: timeouts.streamMs,
        signal,
      });
      this.#facts = { ...stream.facts, mqtt };
      const destroy = (): void => void stream.socket.destroy();
      signal.addEventListener("abort", destroy, { once: true });
      if (signal.aborted) destroy();
      const outcome = await openBrokerConnection({
        stream,
        mqtt,
        clientId: deviceId,
        keepaliveS,
        sessionExpiryS,
        timeouts,
        will: { topic: this.#topic("status"), payload: this.#encode({ state: "offline", reason: "lost" }) },
        onMessage: (topic, payload) => this.#inbox.take(topic, payload),
        onRoom: this.#pump,
      });
      signal.removeEventListener("abort", destroy);
      return outcome;
    } catch (error) {
      return { connection: undefined, failure: "other", fault: asFault(error, "tunnel.protocol", "connect to the hub") };
    }
  }

  /** From CONNACK to the end. [TUN-3] [TUN-9] */
  async #serve(connection: BrokerConnection, signal: AbortSignal, attempt: number): Promise<ConnectionEnd> {
    const { clock, onEvent } = this.#options;
    this.#connections += 1;
    this.#serving = connection;
    this.#apply({ kind: "connack", nowMs: clock.monotonicMs(), wallMs: clock.nowMs() });
    if (this.#facts !== undefined) onEvent({ kind: "connected", facts: this.#facts });
    const closing = this.#closeWhenAborted(connection, signal);
    try {
      await this.#beginSession(connection, signal, attempt);
    } catch (error) {
      connection.destroy(asFault(error, "tunnel.protocol", "begin the session"));
    }
    const ending = await connection.ended;
    this.#serving = undefined;
    this.#attempt.abort();
    await closing;
    return ending;
  }

  /** Subscribes, publishes the birth message, and opens the connection for messages. */
  async #beginSession(connection: BrokerConnection, signal: AbortSignal, attempt: number): Promise<void> {
    const { deviceId, spool, birth } = this.#options;
    await connection.subscribe(DOWN_CHANNELS.map((channel) => downTopic(deviceId, channel)));
    if (this.#facts !== undefined) await connection.send(this.#topic("status"), this.#encode(birth(this.#facts)), true);
    await spool.rewind();
    if (!signal.aborted) {
      this.#connection = connection;
      this.#waiters.resolveWaiters(attempt);
    }
    this.#answers.flush();
    this.#pump();
  }

  /**
   * Waits until the attempt is aborted or the connection ends; then closes in order. Never rejects.
   */
  async #closeWhenAborted(connection: BrokerConnection, signal: AbortSignal): Promise<void> {
    await aborted(signal);
    this.#connection = undefined;
    if (this.#state.phase.at !== "idle") return connection.close();
    const topic = this.#topic("status");
    const payload = this.#encode({ state: "offline", reason: "clean" });
    const acknowledged = await this.#sendWithin(connection, topic, payload);
    // Sent once more when it may not have left this device. Otherwise the retained status would say
    // "online" until the next connection.
    return connection.close(acknowledged ? undefined : { topic, payload });
  }

  /** @returns whether the broker acknowledged the retained message within `timeouts.stopMs`. */
  async #sendWithin(connection: BrokerConnection, topic: string, payload: Uint8Array): Promise<boolean> {
    const { clock, timeouts } = this.#options;
    const timer = new AbortController();
    const acknowledged = connection.send(topic, payload, true).then(
      () => true,
      () => false,
    );
    const timedOut = clock.sleep(timeouts.stopMs, timer.signal).then(() => false);
    const outcome = await Promise.race([acknowledged, timedOut]);
    timer.abort();
    return outcome;
  }

  #topic(channel: UpChannel): string {
    return upTopic(this.#options.deviceId, channel);
  }

  #encode(body: object): Uint8Array {
    return encodeMessage(body, this.#options.clock.nowMs());
  }
}
