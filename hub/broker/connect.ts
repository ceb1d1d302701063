// The judgement of a CONNECT packet, and the CONNACK code that refuses one. [TUN-3]
import type { AuthenticateError, ConnectPacket } from "aedes";
import { Fault } from "../../hal/fault.ts";
import { type AdmissionRefusal, REFUSALS } from "../devices/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { ClientConnection } from "./client-connection.ts";
import { mayPublish } from "./rights.ts";

export interface ConnectRefusal {
  /** CONNACK return code, MQTT 3.1.1 table 3.1. */
  readonly returnCode: 2 | 3 | 5;
  readonly reason: AdmissionRefusal | "client-id" | "will" | "mqtt-version" | "hub-stopping";
  /** For people. */
  readonly explanation: string;
}

/**
 * @param stopping why nobody is admitted now, if so.
 * @returns why this CONNECT is refused, or undefined when it is accepted.
 */
export function judgeConnect(
  { admission }: ClientConnection,
  packet: ConnectPacket,
  stopping: string | undefined,
): ConnectRefusal | undefined {
  if (stopping !== undefined) return { returnCode: 3, reason: "hub-stopping", explanation: stopping };
  if (!admission.admitted) return { returnCode: 5, reason: admission.reason, explanation: REFUSALS[admission.reason] };
  // The broker answers "unacceptable protocol version" before it calls `authenticate`. [TUN-10]
  if (packet.protocolVersion !== 3 && packet.protocolVersion !== 4) {
    const explanation = `it uses MQTT version ${packet.protocolVersion ?? "unknown"}`;
    return { returnCode: 5, reason: "mqtt-version", explanation };
  }
  if (packet.clientId !== admission.deviceId)
    return { returnCode: 2, reason: "client-id", explanation: "its client id is not the CN of its certificate" };
  if (packet.will === undefined) return undefined;
  const right = mayPublish(admission.deviceId, packet.will);
  if ("refused" in right) return { returnCode: 5, reason: "will", explanation: `its will is ${right.refused}` };
  // [TUN-9] A will is published when the device cannot, so it may only be the device's status.
  return right.channel === "status" ? undefined : { returnCode: 5, reason: "will", explanation: "its will is not its status" };
}

/**
 * Writes the refusal to the journal. The device id counts as proven only if the certificate does.
 */
export function noteRefusal(
  journal: JournalWriter,
  connection: ClientConnection,
  packet: ConnectPacket,
  { reason, explanation }: ConnectRefusal,
): void {
  const { admission, address, protocol, group } = connection;
  const proven = admission.admitted ? admission.deviceId : undefined;
  const claimed = admission.admitted ? undefined : admission.claimed;
  const { clientId, protocolVersion: version } = packet;
  connection.endReason = reason;
  if (reason === "mqtt-version") return journal("connection.mqtt-version", proven, { version, address, clientId });
  journal("connection.refused", proven, { reason, words: explanation, address, claimed, clientId, protocol, group });
}

export function connackError({ returnCode, explanation }: ConnectRefusal): AuthenticateError {
  return Object.assign(new Fault("tunnel.refused", `refused: ${explanation}`), { returnCode });
}
