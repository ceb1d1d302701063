// Bounds of the tunnel. [TUN-4] [TUN-5] [TUN-7] [TUN-10]
import { MESSAGE_BYTES_MAX } from "./format.ts";

export const BACKOFF_MS_MIN = 1000;
export const BACKOFF_BOUND_FIRST_MS = 2000;
export const BACKOFF_BOUND_MAX_MS = 300_000;
/**
 * The same for a hub that takes connections and loses them again: it is there, and waiting longer
 * would only keep messages back.
 */
export const FLAP_BOUND_MAX_MS = 30_000;
/**
 * A hub whose last connection ended this long ago counts as there, even if it does not answer.
 */
export const FLAP_WITHIN_MS = 600_000;
/** A connection that lasted this long counts as stable. */
export const STABLE_AFTER_MS = 60_000;
/** A connection that the peer ended this soon after CONNACK may have been a kick. */
export const KICK_WITHIN_MS = 10_000;
export const KICKS_MAX = 3;
export const MQTT5_AGAIN_AFTER_MS = 7 * 86_400_000;
/**
 * Connections that offer MQTT 5 and get no answer, before 3.1.1 is tried. Some brokers close
 * instead of refusing, and some stay silent.
 */
export const SILENT_REFUSALS_MAX = 2;

/** In flight to the broker: sent and not acknowledged. */
export const WINDOW_MESSAGES_MAX = 32;
export const WINDOW_BYTES_MAX = 4 * MESSAGE_BYTES_MAX;
/**
 * Connections in a row that end while one and the same message is alone in flight, before it is
 * held back.
 */
export const SUSPECT_CUTS_MAX = 4;
/** Messages that are held back until another one passes. More failing ones are the hub's doing. */
export const HELD_MAX = 8;
/**
 * A channel of which this many messages in a row end every connection is left out for this long,
 * while the others go on.
 */
export const PAUSE_MS = 900_000;
/** Messages that were set aside: their number, and their bytes together. [TUN-81] */
export const SET_ASIDE_MAX = 16;
export const SET_ASIDE_BYTES_MAX = 2 * MESSAGE_BYTES_MAX;
/**
 * One more may be set aside after each period: each costs a write of all of them, and a hub that
 * announces a small limit refuses everything. What is beyond it is dropped and counted.
 */
export const SET_ASIDE_PERIOD_MS = 600_000;
/** Audit deliveries in flight; more are refused. */
export const DELIVERIES_MAX = 8;
/**
 * Answers to operations that wait for their acknowledgement; a hub that causes more loses its
 * connection. An answer that is not in the spool has a few hundred bytes.
 */
export const ANSWERS_PENDING_MAX = 1024;
/** Those of them in flight; the rest of the window is left to the spool and the audit trail. */
export const ANSWERS_IN_FLIGHT_MAX = 8;
/**
 * Hints and audit answers whose handlers still run; more are refused. Operations are not counted
 * here: each of them gets an answer [OPS-6].
 */
export const INBOX_RUNNING_MAX = 16;
/** MQTT 5 receive maximum: messages at QoS 1 that the broker may have unacknowledged. */
export const RECEIVE_MAX = 64;
/** Ids of messages from the hub that are remembered, so that duplicates are dropped. */
export const SEEN_IDS_MAX = 256;
/** Packets from the hub: the message, with room for topic and properties. */
export const PACKET_BYTES_MAX = MESSAGE_BYTES_MAX + 4096;

/** Length of the hub's name in status and records; the bound of `tunnelStatusSchema`. */
export const PEER_CHARACTERS_MAX = 256;
/** Length of the last fault's message in the status; the bound of `faultSchema`. */
export const LAST_FAULT_CHARACTERS_MAX = 2048;

export interface Timeouts {
  /** Name resolution, TCP, proxy and TLS together. */
  readonly streamMs: number;
  /** From the end of the TLS handshake to CONNACK, and from there to SUBACK. */
  readonly answerMs: number;
  /** From a message to its PUBACK. */
  readonly ackMs: number;
  /** For the acknowledgement of `offline`, and once more for the end of the connection. */
  readonly stopMs: number;
}

export const TIMEOUTS_DEFAULT: Timeouts = { streamMs: 30_000, answerMs: 20_000, ackMs: 30_000, stopMs: 5000 };
