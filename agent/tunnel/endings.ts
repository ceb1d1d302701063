// What the end of a connection, or of an attempt, says about the hub. Pure. [TUN-4] [TUN-5]
// [TUN-80]
import type { Fault } from "../../hal/fault.ts";
import { type ConnectionEnd, SESSION_TAKEN_OVER } from "./connection.ts";
import type { EndedBy } from "./machine.ts";

/** The hub is there and has not refused this device: no reason to wait long. */
const NOT_CROWDED: ReadonlySet<string> = new Set(["tunnel.closed", "tunnel.unreachable", "tunnel.protocol", "tunnel.kicked"]);

/** [TUN-4] Whether the hub refuses this device, is busy, or does not answer in time. */
export function isCrowded({ code }: Fault): boolean {
  return !NOT_CROWDED.has(code);
}

/**
 * [TUN-5] [TUN-80] Another client with this id is looked for only where it is likely. A hub with
 * MQTT 5 may say so. With 3.1.1, and from Mosquitto 2.0 also with 5, the connection is only closed,
 * and then nothing waits for an answer: an end over a message, over the birth message or over the
 * subscription has that as its cause.
 * @param isSuspected whether the connection ended over one message.
 */
export function causeOf({ by, reason, isUnanswered }: ConnectionEnd, isSuspected: boolean): EndedBy {
  if (by !== "peer") return by;
  if (reason === SESSION_TAKEN_OVER) return "taken-over";
  return reason !== undefined || isUnanswered === true || isSuspected ? "fault" : "peer";
}
