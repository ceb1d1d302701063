// The events of the hub's journal. Their names are an interface for those who monitor it: append,
// never rename or reuse.

export const SEVERITIES = ["info", "notice", "warning", "alert"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const JOURNAL_EVENTS = {
  "hub.started": "notice",
  "hub.stopped": "notice",
  "server-certificate.renewed": "notice",
  /** [STA-40] The store fails, or the clock does not fit the certificates. */
  "hub.trouble": "alert",
  "hub.trouble-over": "notice",
  "device.requested": "notice",
  "device.approved": "notice",
  "device.denied": "notice",
  "device.revoked": "notice",
  "device.forgotten": "notice",
  /** [ID-7] A request with another key for an id that is approved with one. */
  "device.other-key": "alert",
  "device.request-changed": "alert",
  /** [ID-95] One key asks for several ids. */
  "device.same-key": "alert",
  /** [ID-97] A disk is on another board than that of its birth, and waits. */
  "device.other-board": "alert",
  "device.board-admitted": "notice",
  /** [ID-98] The hardware would give another id; it may be the same board with a part replaced. */
  "device.board-changed": "alert",
  /** [ID-99] Two peers use one id's certificate, and end each other's connections. */
  "device.contested": "alert",
  /** [ID-61] The device says that its key is kept less safe than approved. */
  "device.weaker-key": "alert",
  /** [ID-61] The first claim about the key of a device that was approved without one. */
  "device.protection-reported": "notice",
  /** [ID-62] One key took the place of another, as an operator decided. */
  "device.replaced": "notice",
  /** [ID-63] A device asks with both keys for a certificate of the new one. */
  "device.rekey-requested": "alert",
  "device.rekey-allowed": "notice",
  /** [ID-64] The new key was approved beside the one in force. */
  "device.rekeyed": "notice",
  "enrolment.refused": "warning",
  /** Too many pending requests: somebody floods the hub, or a site is installed all at once. */
  "enrolment.crowded": "alert",
  /** [ID-24] A device asks for certificates faster than it can use them. */
  "enrolment.paced": "warning",
  "certificate.issued": "notice",
  "connection.opened": "info",
  "connection.closed": "info",
  /** [TUN-3] */
  "connection.refused": "warning",
  /**
   * [TUN-10] Answered with "unacceptable protocol version". A device that tried MQTT 5 connects
   * again with 3.1.1.
   */
  "connection.mqtt-version": "info",
  "connection.replaced": "warning",
  "connection.kicked": "notice",
  /** [TUN-11] */
  "topic.refused": "alert",
  "message.refused": "warning",
  "packet.refused": "warning",
  /** [AUD-8] The delivery does not continue the tree or is not signed; nothing was cosigned. */
  "audit.refused": "warning",
  /** [AUD-9] */
  "audit.rolled-back": "alert",
  "audit.forked": "alert",
  /** [AUD-47] A device's log has a record that an operator must hear of. */
  "device.alarm": "alert",
  /** A signed repository was copied into the one that is served. */
  "repository.published": "notice",
  /** [OTA-42] An operator pointed a device at a release. */
  "update.requested": "notice",
  /** [OPS-6] An operator asked a device for an operation, with or without an order. */
  "operation.asked": "notice",
  "operation.answered": "info",
  /** The device did not receive it in time. */
  "message.expired": "warning",
  /** Reports of devices. */
  "lockdown.pending": "info",
  "update.committed": "info",
  "update.failed": "warning",
  "update.rolled-back": "alert",
  /** [ID-55] A device's warden has escrowed the passwords of its TPM. */
  "tpm.escrowed": "notice",
  "tpm.escrow-refused": "warning",
  /** [TUN-23] A source opened too many connections: they were closed, or older ones of it. */
  "connection.crowded": "alert",
} as const satisfies Readonly<Record<string, Severity>>;

export type JournalEvent = keyof typeof JOURNAL_EVENTS;

/**
 * [OPS-35] What only an operator or the hub itself causes; a question has one answer. All other
 * events are caused at will by devices and strangers, and are paced.
 */
export const UNPACED_EVENTS = [
  "hub.started",
  "hub.stopped",
  "server-certificate.renewed",
  "device.approved",
  "device.denied",
  "device.revoked",
  "device.forgotten",
  "device.replaced",
  "device.rekey-allowed",
  "device.rekeyed",
  "device.board-admitted",
  "repository.published",
  "update.requested",
  "operation.asked",
  "operation.answered",
] as const satisfies readonly JournalEvent[];
export type UnpacedEvent = (typeof UNPACED_EVENTS)[number];

const unpaced: ReadonlySet<string> = new Set(UNPACED_EVENTS);

export function isPaced(event: JournalEvent): boolean {
  return !unpaced.has(event);
}

export function isJournalEvent(name: string): name is JournalEvent {
  return Object.hasOwn(JOURNAL_EVENTS, name);
}

const REPORTS: readonly JournalEvent[] = [
  "device.weaker-key",
  "device.protection-reported",
  "device.other-board",
  "device.board-changed",
  "lockdown.pending",
  "update.committed",
  "update.failed",
  "update.rolled-back",
];

/** [AUD-40] True for what the hub knows only from a device's agent. */
export function isReport(event: JournalEvent): boolean {
  return REPORTS.includes(event);
}
