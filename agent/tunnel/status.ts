// The tunnel's part of the device status.
import { hostAndPort } from "../../hal/format/host.ts";
import type { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { TunnelStatus } from "../status/format.ts";
import { LAST_FAULT_CHARACTERS_MAX } from "./limits.ts";
import type { State } from "./machine.ts";
import type { ConnectedFacts, TunnelOptions } from "./options.ts";

export interface TunnelStatusInputs {
  readonly state: State;
  readonly options: Pick<TunnelOptions, "anchors" | "clock" | "spool">;
  /** Of the connection that is up or was tried last; undefined when there is none. */
  readonly facts: ConnectedFacts | undefined;
  /** Connections made since the agent started. */
  readonly connections: number;
  readonly lastFault: Fault | undefined;
  /** Telemetry messages that the spool did not take; they count as dropped. */
  readonly telemetryLost: number;
}

/** @returns a status that `tunnelStatusSchema` accepts. Never throws. */
export function describeTunnel(inputs: TunnelStatusInputs): TunnelStatus {
  const { state, options, facts, lastFault } = inputs;
  const { phase } = state;
  const nowMs = options.clock.monotonicMs();
  const spool = options.spool.status();
  const up = phase.at === "connected" && facts !== undefined;
  return {
    state: phase.at,
    hub: hostAndPort({ host: options.anchors.host, port: options.anchors.mqttPort }),
    ...(up ? { peer: facts.peer, tls: facts.protocol, cipher: facts.cipher, group: facts.group, mqtt: facts.mqtt } : {}),
    ...(phase.at === "connected" ? { connectedForS: Math.floor((nowMs - phase.sinceMs) / 1000) } : {}),
    ...(phase.at === "waiting" ? { retryInS: Math.max(0, Math.ceil((phase.untilMs - nowMs) / 1000)) } : {}),
    connections: inputs.connections,
    ...(lastFault === undefined
      ? {}
      : { lastFault: { code: lastFault.code, message: clip(lastFault.message, LAST_FAULT_CHARACTERS_MAX) } }),
    spool: { ...spool, dropped: spool.dropped + inputs.telemetryLost },
  };
}
