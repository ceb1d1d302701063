// What the hub's own journal can say. Names are an interface for whoever watches it: append, never rename or reuse.

export const SEVERITIES = ["info", "notice", "warning", "alert"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const JOURNAL_EVENTS = {
  "hub.started": "notice",
  "hub.stopped": "notice",
  "server-certificate.renewed": "notice",
  "device.requested": "notice",
  "device.approved": "notice",
  "device.denied": "notice",
  "device.revoked": "notice",
  "device.forgotten": "notice",
  /** [ID-7] An id that belongs to one key asks with another. */
  "device.other-key": "alert",
  "device.request-changed": "alert",
  "enrolment.refused": "warning",
  /** More ask than may wait: somebody floods the desk, or a site is brought up in one go. */
  "enrolment.crowded": "alert",
  /** [ID-12] A device asks for certificates faster than it can use them. */
  "enrolment.paced": "warning",
  "certificate.issued": "notice",
  "connection.opened": "info",
  "connection.closed": "info",
  /** [TUN-3] */
  "connection.refused": "warning",
  /** [TUN-10] Answered with "unacceptable protocol version": a device that asks for MQTT 5 comes back with 3.1.1. */
  "connection.mqtt-version": "info",
  "connection.replaced": "warning",
  "connection.kicked": "notice",
  /** [TUN-11] */
  "topic.refused": "alert",
  "message.refused": "warning",
  "packet.refused": "warning",
  /** [AUD-8] Not continuing the tree, or not signed: nothing was cosigned. */
  "audit.refused": "warning",
  /** [AUD-9] */
  "audit.rolled-back": "alert",
  "audit.forked": "alert",
  /** A signed repository was taken over into the one that is served. */
  "repository.published": "notice",
  /** [OTA-42] An operator pointed a device at a release. */
  "update.requested": "notice",
  /** [OPS-6] An operator asked a device for something, with an order or without; and what came of it. */
  "operation.asked": "notice",
  "operation.answered": "info",
  /** No device took it in time. */
  "message.expired": "warning",
  /** What devices report of themselves. */
  "lockdown.pending": "info",
  "update.committed": "info",
  "update.failed": "warning",
  "update.rolled-back": "alert",
} as const satisfies Readonly<Record<string, Severity>>;

export type JournalEvent = keyof typeof JOURNAL_EVENTS;

export function isJournalEvent(name: string): name is JournalEvent {
  return Object.hasOwn(JOURNAL_EVENTS, name);
}
