// Bounds of the hub. All input from outside meets one of these first.

/** A body sent to the EST and time endpoints: base64 of a request, with room for wrapped lines. */
export const HTTP_BODY_BYTES_MAX = 16_384;
export const HTTP_REQUEST_MS_MAX = 15_000;
/** How often request and header timeouts are checked. */
export const HTTP_TIMEOUTS_CHECK_MS = 1000;
/**
 * Requests of one source, the repository's files aside: so many at once, as after a power cut of a
 * site behind one address, and so many a second from then on.
 */
export const HTTP_REQUESTS_BURST = 1024;
export const HTTP_REQUESTS_PER_S = 50;
export const HTTP_BUSY_RETRY_S = 10;
/** Time for the answer to what is no request to arrive, before the connection is cut. */
export const HTTP_LINGER_MS = 1000;
/**
 * Requests for the repository's files, of one device that shows its certificate or of one address:
 * so many at once, and so many a second from then on. A release has some thousand chunks.
 */
export const REPOSITORY_REQUESTS_BURST = 4096;
export const REPOSITORY_REQUESTS_PER_S = 500;
/** Requests of one key for certificates: so many at once, and so many a second from then on. */
export const ENROLMENTS_BURST = 64;
export const ENROLMENTS_PER_S = 1;

/**
 * Open connections that have shown no valid device certificate: altogether, and from one source.
 * The oldest of the source with the most makes room. They never take the room of those that have.
 */
export const HTTP_UNPROVEN_MAX = 2048;
export const MQTT_UNPROVEN_MAX = 2048;
export const UNPROVEN_PER_SOURCE_MAX = 1024;
/** Open connections that have shown one: altogether, and of one device. */
export const HTTP_PROVEN_MAX = 4096;
export const MQTT_PROVEN_MAX = 16_384;
export const PROVEN_PER_DEVICE_MAX = 8;
/**
 * TLS handshakes of one source, those aside after which a device has shown its certificate: so many
 * at once, as when a site is installed behind one address, and so many a second from then on.
 * Further ones wait for their turn. [TUN-24]
 */
export const HANDSHAKES_BURST = 256;
export const HANDSHAKES_PER_S = 50;
/** Handshakes that one turn of the event loop begins: about 1 ms each. */
export const HANDSHAKES_PER_TURN = 2;
/** Addresses remembered because a device has connected from there. */
export const KNOWN_SOURCES_MAX = 16_384;
/**
 * New connections of one device to one server: beyond that they end after the handshake. A sound
 * device waits a second at least before it connects again. [TUN-4]
 */
export const DEVICE_CONNECTIONS_BURST = 256;
export const DEVICE_CONNECTIONS_PER_S = 1;
/** A peer that takes nothing of an answer for so long is cut off. */
export const WRITE_PROGRESS_MS_MAX = 20_000;
/** The first packet, from an unknown client: CONNECT with its will. */
export const MQTT_CONNECT_BYTES_MAX = 16_384;
/** Topic and packet header beside a message of the largest size. */
export const MQTT_PACKET_OVERHEAD_BYTES_MAX = 1024;
/** A SUBSCRIBE or UNSUBSCRIBE, and the filters in it: a device has five topics. */
export const MQTT_SUBSCRIBE_BYTES_MAX = 2048;
export const MQTT_FILTERS_MAX = 8;
/** Refused messages and topics after which a connection ends. */
export const MQTT_REFUSALS_MAX = 16;
/**
 * Packets of one device: so many at once, and so many a second from then on. A packet counts once,
 * and once more for each KiB. The hub reads no faster, so a spool takes longer and loses nothing.
 */
export const MQTT_PACKETS_BURST = 4096;
export const MQTT_PACKETS_PER_S = 500;
export const MQTT_CONNECT_MS_MAX = 10_000;
/** Before a client is known: for its first byte, for its turn to begin, and for its handshake. */
export const FIRST_BYTE_MS_MAX = 10_000;
export const HANDSHAKE_TURN_MS_MAX = 30_000;
export const TLS_HANDSHAKE_MS_MAX = 10_000;
/** How often these times are checked. */
export const HANDSHAKE_CHECK_MS = 1000;
/** Time for the last bytes to arrive after a refusal or a kick, before the connection is cut. */
export const MQTT_LINGER_MS = 1000;
/** QoS 2 messages that are half received, per client. */
export const MQTT_INFLIGHT_MAX = 16;

/**
 * Requests that wait for an operator: altogether, from one source (devices behind one address
 * translation are one source), and for one id with different keys.
 */
export const PENDING_REQUESTS_MAX = 1024;
export const PENDING_PER_SOURCE_MAX = 256;
export const PENDING_PER_ID_MAX = 8;
/** New requests of one source: so many at once, and so many a second from then on. */
export const PENDING_NEW_BURST = 512;
export const PENDING_NEW_PER_S = 10;
/** New requests that are written by one commit. */
export const PENDING_ADMITTED_MAX = 4;
/** Remembered denials. A key whose denial was dropped may ask again, and is pending again. */
export const DENIED_MAX = 1024;
export const DENIED_PER_ID_MAX = 8;
/** Valid certificates of one device. */
export const CERTIFICATES_PER_DEVICE_MAX = 64;
/** [ID-24] Share of a certificate's life in which its device gets no other. */
export const CERTIFICATE_GAP_RATIO = 0.1;
/** [ID-64] How long a key may stay approved beside the one in force without a connection. */
export const OVERLAP_MS_MAX = 7 * 24 * 3_600_000;
/** [ID-63] How long an operator's permission for another key may hold. */
export const REKEY_HOLD_MS_MIN = 60_000;
export const REKEY_HOLD_MS_MAX = 30 * 24 * 3_600_000;
export const REKEY_HOLD_MS_DEFAULT = 24 * 3_600_000;
/** [ID-91] How long a list of revoked certificates holds, and how old it gets without a change. */
export const CRL_LIFE_MS = 30 * 24 * 3_600_000;
export const CRL_ISSUE_MS = 24 * 3_600_000;
/** A list of that age should have been followed by another one long ago. */
export const CRL_OVERDUE_MS = 3 * CRL_ISSUE_MS;
/** A list begins earlier, because a broker's clock may be behind the hub's. */
export const CRL_BACKDATED_MS = 3_600_000;
/**
 * How long an ended certificate stays on the list: RFC 5280 section 3.3 wants it on one that is
 * issued after its end. Twice the time between two lists, for clocks that differ.
 */
export const CRL_RETENTION_MS = 2 * CRL_ISSUE_MS;
/** Certificates on one list, of 33 to 47 bytes each. */
export const CRL_ENTRIES_MAX = 131_072;
/** How long whoever asks may keep a list before asking again. */
export const CRL_CACHE_S = 60;
/** [ID-93] Of the address in certificates. */
export const CRL_URL_CHARACTERS_MAX = 256;
/** [ID-95] Ids that are named of one key. */
export const SAME_KEY_MAX = 8;
/** After a request that came too soon. */
export const HURRIED_RETRY_S = 10;
/** [ID-97] Boards that are known to tell, so that each is an alert once a day. */
export const BOARDS_QUIET_MAX = 1024;
/** [ID-97] Notices of one device about its board: so many at once, and so many a second. */
export const BOARD_NOTICES_BURST = 16;
export const BOARD_NOTICES_PER_S = 0.1;
/**
 * [ID-99] So many connections of one id that each end the one before, within that time, are two
 * peers with one certificate. A device alone reconnects to a live connection of its own only after
 * its line was cut.
 */
export const CONTESTS_MIN = 3;
export const CONTEST_MS = 60_000;
/** Certificates remembered as well signed. */
export const CERTIFICATES_REMEMBERED_MAX = 16_384;
/** How long expired certificates stay in the store. */
export const CERTIFICATES_RETENTION_MS = 90 * 24 * 3_600_000;

/** Message ids remembered for each device. A message that is sent again is sent soon. [TUN-8] */
export const MESSAGES_PER_DEVICE_MAX = 2048;
/** Of a larger body, only the message id is remembered. */
export const MESSAGE_BODY_BYTES_MAX = 4096;
/** [ID-55] Notes with a TPM's sealed passwords that are kept of one device. */
export const ESCROWS_PER_DEVICE_MAX = 4;
/** Messages for one device that it has not received or not answered yet. */
export const OUTBOX_PER_DEVICE_MAX = 64;
/** How often a command that waits for an answer checks for it. */
export const ANSWER_POLL_MS = 50;
/** A hint expires after this time. The device checks for releases once a day anyway. [OTA-42] */
export const HINT_LIFE_MS = 24 * 3_600_000;

/** Messages of one device made durable by one commit. */
export const COMMIT_MESSAGES_MAX = 64;
/** Statements of a group of commits that go to the disk together. */
export const COMMIT_STATEMENTS_MAX = 2048;
/** How often a decision is made again because its grounds changed in the meantime. */
export const COMMIT_ATTEMPTS_MAX = 8;

/** Rows of the hub's own journal. Who has the most of a severity loses the oldest first. */
export const JOURNAL_ROWS_MAX = 100_000;
/** How long the journal counts in memory before it writes a new entry. */
export const JOURNAL_INTERVAL_MS = 250;
/** How long before it writes the higher count of an entry that has a row. */
export const JOURNAL_COUNT_MS = 10_000;
/** Entries in memory. Above it, those of operators are paced too. */
export const JOURNAL_UNWRITTEN_MAX = 8192;
/** The same entry within this time raises a count instead of adding a row. */
export const JOURNAL_REPEAT_MS = 60_000;
/**
 * [OPS-35] Different entries of one event that a device, or one source of strangers, causes: so
 * many at first, and one each {@link JOURNAL_REPEAT_MS} from then on. Further ones are only
 * counted.
 */
export const JOURNAL_DIFFERENT_MAX = 32;
/** How long one entry counts the further ones. */
export const JOURNAL_FOLDED_MS = 3_600_000;
/** The same for all strangers together: so many, and then one in so many milliseconds. */
export const JOURNAL_STRANGERS_MAX = 256;
export const JOURNAL_STRANGERS_PERIOD_MS = 10_000;
/** Size of one device's audit log. */
export const AUDIT_LOG_BYTES_MAX = 1_073_741_824;
/**
 * The tree's frontier is remembered every so many records. Comparing a checkpoint older than the
 * hub's head costs fewer hashes than that, however large the log is.
 */
export const AUDIT_FRONTIER_RECORDS = 256;
/**
 * The same bound for logs that were stored before the hub remembered frontiers. Above it, an older
 * checkpoint is not compared.
 */
export const AUDIT_REHASH_RECORDS_MAX = 4096;

/** Files that may be open: fewer are not enough for the hub itself and a few connections. */
export const DESCRIPTORS_MIN = 64;
/** With fewer left, new connections begin to be reset. */
export const DESCRIPTORS_SPARE = 4;

/** How long a process waits for another one that writes the store. */
export const STORE_BUSY_MS_MAX = 5000;
