// The state machine of the tunnel: when to connect, how long to wait, which MQTT version to speak.
// Pure: time and randomness arrive in events, effects leave as data.
import {
  BACKOFF_BOUND_FIRST_MS,
  BACKOFF_BOUND_MAX_MS,
  BACKOFF_MS_MIN,
  FLAP_BOUND_MAX_MS,
  FLAP_WITHIN_MS,
  KICK_WITHIN_MS,
  KICKS_MAX,
  MQTT5_AGAIN_AFTER_MS,
  SILENT_REFUSALS_MAX,
  STABLE_AFTER_MS,
} from "./limits.ts";

export type Mqtt = "5" | "3.1.1";

export type TunnelPhase =
  | { readonly at: "idle" }
  /** `abandoned`: the attempt is being closed, and the next one begins at once; see `reconnect`. */
  | { readonly at: "connecting"; readonly mqtt: Mqtt; readonly abandoned?: true }
  | { readonly at: "connected"; readonly mqtt: Mqtt; readonly sinceMs: number }
  | { readonly at: "waiting"; readonly untilMs: number };

export interface State {
  readonly phase: TunnelPhase;
  /** Upper bound of the next wait, milliseconds. [TUN-4] */
  readonly boundMs: number;
  /** Connections in a row that the peer ended at once. [TUN-5] */
  readonly kicks: number;
  /** Wall clock of the remembered refusal of MQTT 5, Unix milliseconds. [TUN-10] */
  readonly mqtt5RefusedAtMs: number | undefined;
  /** Connections in a row that offered MQTT 5 and ended without any answer. */
  readonly silences: number;
  /** When there was a connection for the last time; monotonic clock. [TUN-4] */
  readonly upAtMs: number | undefined;
}

/**
 * Why no CONNACK came. `mqtt-version`: the broker refuses this version of MQTT. `silent`: it closed
 * a good TLS connection without an answer, or left CONNECT unanswered.
 */
export type Failure = "mqtt-version" | "silent" | "other";

/**
 * How a connection ended. `peer`: the hub closed it, and there is no other reason than another
 * client with this id. `taken-over`: the hub says that there is one. `fault`: for another reason,
 * here or at the hub.
 */
export type EndedBy = "peer" | "taken-over" | "fault" | "us";

/**
 * `nowMs` is the monotonic clock, `wallMs` the wall clock; `random` is in [0, 1). `crowded`: the
 * hub refuses this device, is busy, or does not answer in time.
 */
export type Event =
  | { readonly kind: "start"; readonly wallMs: number }
  | { readonly kind: "connack"; readonly nowMs: number; readonly wallMs: number }
  | {
      readonly kind: "failed";
      readonly failure: Failure;
      readonly crowded?: boolean;
      readonly nowMs: number;
      readonly random: number;
    }
  | {
      readonly kind: "ended";
      readonly by: EndedBy;
      readonly crowded?: boolean;
      readonly nowMs: number;
      readonly wallMs: number;
      readonly random: number;
    }
  | { readonly kind: "waited"; readonly wallMs: number }
  /**
   * Connect now instead of waiting. A connection that is up or being made is closed and made again.
   */
  | { readonly kind: "reconnect"; readonly wallMs: number }
  | { readonly kind: "stop" };

export type Effect =
  | { readonly do: "connect"; readonly mqtt: Mqtt }
  | { readonly do: "close" }
  | { readonly do: "wait"; readonly delayMs: number }
  | { readonly do: "stop-waiting" }
  | { readonly do: "report-kicks"; readonly kicks: number }
  | { readonly do: "remember"; readonly mqtt5RefusedAtMs: number | undefined };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** @param mqtt5RefusedAtMs the refusal that an earlier run recorded, Unix milliseconds. */
export function initial(mqtt5RefusedAtMs: number | undefined): State {
  return { phase: { at: "idle" }, boundMs: BACKOFF_BOUND_FIRST_MS, kicks: 0, mqtt5RefusedAtMs, silences: 0, upAtMs: undefined };
}

/**
 * @returns the state after `event`, and what the driver must do now.
 *   Never throws: an event that does not apply to the phase changes nothing.
 */
export function next(state: State, event: Event): Step {
  const { phase } = state;
  switch (event.kind) {
    case "start":
      return phase.at === "idle" ? connect(state, mqttFor(state, event.wallMs)) : unchanged(state);
    case "connack":
      return phase.at === "connecting" ? connected(state, phase.mqtt, event) : unchanged(state);
    case "failed":
      if (phase.at !== "connecting") return unchanged(state);
      return phase.abandoned === true ? connect(state, phase.mqtt) : failed(state, phase.mqtt, event);
    case "ended":
      return phase.at === "connected" ? ended(state, phase.sinceMs, event) : unchanged(state);
    case "waited":
      return phase.at === "waiting" ? connect(state, mqttFor(state, event.wallMs)) : unchanged(state);
    case "reconnect":
      return reconnect(state, event.wallMs);
    case "stop":
      return stop(state);
  }
}

function unchanged(state: State): Step {
  return { state, effects: [] };
}

function connect(state: State, mqtt: Mqtt): Step {
  return { state: { ...state, phase: { at: "connecting", mqtt } }, effects: [{ do: "connect", mqtt }] };
}

/**
 * [TUN-10] MQTT 5 unless it was refused within the last week. When the clock has stepped back past
 * the refusal, its age is unknown; MQTT 5 is then offered once more, which costs one connection.
 */
function mqttFor(state: State, wallMs: number): Mqtt {
  if (state.mqtt5RefusedAtMs === undefined) return "5";
  const agoMs = wallMs - state.mqtt5RefusedAtMs;
  return agoMs >= 0 && agoMs < MQTT5_AGAIN_AFTER_MS ? "3.1.1" : "5";
}

/**
 * [TUN-10] A refusal of MQTT 5 is remembered only here, once 3.1.1 has worked. Before that, a
 * broker that is merely out of order looks the same.
 */
function connected(state: State, mqtt: Mqtt, event: { readonly nowMs: number; readonly wallMs: number }): Step {
  const known = mqtt === "3.1.1" && mqttFor(state, event.wallMs) === "3.1.1";
  const mqtt5RefusedAtMs = mqtt === "5" ? undefined : known ? state.mqtt5RefusedAtMs : event.wallMs;
  const remember = mqtt5RefusedAtMs !== state.mqtt5RefusedAtMs;
  return {
    state: {
      ...state,
      phase: { at: "connected", mqtt, sinceMs: event.nowMs },
      mqtt5RefusedAtMs,
      silences: 0,
      upAtMs: event.nowMs,
    },
    effects: remember ? [{ do: "remember", mqtt5RefusedAtMs }] : [],
  };
}

function failed(state: State, mqtt: Mqtt, event: Extract<Event, { kind: "failed" }>): Step {
  const silences = mqtt === "5" && event.failure === "silent" ? state.silences + 1 : 0;
  // A refusal ends a series of kicks: a client that is kicked gets a CONNACK every time.
  const counted: State = { ...state, kicks: 0, silences };
  if (mqtt === "5" && (event.failure === "mqtt-version" || silences >= SILENT_REFUSALS_MAX)) {
    // At once: both versions count as one attempt, and the wait follows when 3.1.1 fails too.
    return connect({ ...counted, silences: 0 }, "3.1.1");
  }
  const forget = mqtt === "3.1.1" && event.failure === "mqtt-version" && state.mqtt5RefusedAtMs !== undefined;
  const isThere = state.upAtMs !== undefined && event.nowMs - state.upAtMs <= FLAP_WITHIN_MS;
  const boundMaxMs = isThere && event.crowded !== true ? FLAP_BOUND_MAX_MS : BACKOFF_BOUND_MAX_MS;
  const step = backOff(forget ? { ...counted, mqtt5RefusedAtMs: undefined } : counted, event, boundMaxMs);
  return forget ? { ...step, effects: [...step.effects, { do: "remember", mqtt5RefusedAtMs: undefined }] } : step;
}

function ended(state: State, sinceMs: number, event: Extract<Event, { kind: "ended" }>): Step {
  const lastedMs = event.nowMs - sinceMs;
  const upAtMs = event.nowMs;
  if (event.by === "us") return connect({ ...state, kicks: 0, upAtMs }, mqttFor(state, event.wallMs));
  const isKick = (event.by === "peer" && lastedMs < KICK_WITHIN_MS) || (event.by === "taken-over" && lastedMs < STABLE_AFTER_MS);
  const kicks = isKick ? state.kicks + 1 : 0;
  if (kicks >= KICKS_MAX) return waitOutKicks({ ...state, kicks, upAtMs }, event.nowMs);
  const boundMs = lastedMs >= STABLE_AFTER_MS ? BACKOFF_BOUND_FIRST_MS : state.boundMs;
  return backOff({ ...state, kicks, boundMs, upAtMs }, event, event.crowded === true ? BACKOFF_BOUND_MAX_MS : FLAP_BOUND_MAX_MS);
}

/** [TUN-5] Two clients with one id kick each other; shorter waits would only make it worse. */
function waitOutKicks(state: State, nowMs: number): Step {
  const delayMs = BACKOFF_BOUND_MAX_MS;
  return {
    state: { ...state, phase: { at: "waiting", untilMs: nowMs + delayMs }, boundMs: BACKOFF_BOUND_MAX_MS },
    effects: [
      { do: "report-kicks", kicks: state.kicks },
      { do: "wait", delayMs },
    ],
  };
}

/**
 * [TUN-4] Full jitter as in AWS's "Exponential Backoff And Jitter", with a minimum of a second. The
 * devices of a hub that starts again come within {@link FLAP_BOUND_MAX_MS}, evenly spread. If they
 * are too many for it, its answers take too long, and for these devices the bound grows on.
 */
function backOff(state: State, event: { readonly nowMs: number; readonly random: number }, boundMaxMs: number): Step {
  const boundMs = Math.min(state.boundMs, boundMaxMs);
  const delayMs = Math.round(BACKOFF_MS_MIN + event.random * (boundMs - BACKOFF_MS_MIN));
  return {
    state: {
      ...state,
      phase: { at: "waiting", untilMs: event.nowMs + delayMs },
      boundMs: Math.min(boundMs * 2, BACKOFF_BOUND_MAX_MS),
    },
    effects: [{ do: "wait", delayMs }],
  };
}

function reconnect(state: State, wallMs: number): Step {
  const { phase } = state;
  if (phase.at === "connected") return { state, effects: [{ do: "close" }] };
  // If CONNACK arrives all the same, the connection ends by us, and that makes the next one.
  if (phase.at === "connecting" && phase.abandoned !== true)
    return { state: { ...state, phase: { ...phase, abandoned: true } }, effects: [{ do: "close" }] };
  if (phase.at !== "waiting") return unchanged(state);
  const step = connect(state, mqttFor(state, wallMs));
  return { ...step, effects: [{ do: "stop-waiting" }, ...step.effects] };
}

function stop(state: State): Step {
  const idle: State = { ...state, phase: { at: "idle" }, kicks: 0 };
  switch (state.phase.at) {
    case "idle":
      return unchanged(state);
    case "waiting":
      return { state: idle, effects: [{ do: "stop-waiting" }] };
    case "connecting":
    case "connected":
      return { state: idle, effects: [{ do: "close" }] };
  }
}
