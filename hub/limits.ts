// Bounds of the hub. All input from outside meets one of these first.

/** A body sent to the EST and time endpoints: base64 of a request, with room for wrapped lines. */
export const HTTP_BODY_BYTES_MAX = 16_384;
/** Open HTTPS connections. */
export const HTTP_CONNECTIONS_MAX = 1024;
export const HTTP_REQUEST_MS_MAX = 15_000;

/** Open MQTT connections, admitted or not. */
export const MQTT_CONNECTIONS_MAX = 16_384;
/** The first packet, from an unknown client: CONNECT with its will. */
export const MQTT_CONNECT_BYTES_MAX = 16_384;
/** Topic and packet header beside a message of the largest size. */
export const MQTT_PACKET_OVERHEAD_BYTES_MAX = 1024;
export const MQTT_CONNECT_MS_MAX = 10_000;
export const TLS_HANDSHAKE_MS_MAX = 10_000;
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
/** Remembered denials. A key whose denial was dropped may ask again, and is pending again. */
export const DENIED_MAX = 1024;
export const DENIED_PER_ID_MAX = 8;
/** Valid certificates of one device. */
export const CERTIFICATES_PER_DEVICE_MAX = 64;
/** [ID-24] Share of a certificate's life in which its device gets no other. */
export const CERTIFICATE_GAP_RATIO = 0.1;
/** How long expired certificates stay in the store. */
export const CERTIFICATES_RETENTION_MS = 90 * 24 * 3_600_000;

/** Message ids remembered for each device. A message that is sent again is sent soon. [TUN-8] */
export const MESSAGES_PER_DEVICE_MAX = 2048;
/** Of a larger body, only the message id is remembered. */
export const MESSAGE_BODY_BYTES_MAX = 4096;
/** Messages for one device that it has not received or not answered yet. */
export const OUTBOX_PER_DEVICE_MAX = 64;
/** How often a command that waits for an answer checks for it. */
export const ANSWER_POLL_MS = 50;
/** A hint expires after this time. The device checks for releases once a day anyway. [OTA-42] */
export const HINT_LIFE_MS = 24 * 3_600_000;

/** Messages made durable by one commit. */
export const COMMIT_MESSAGES_MAX = 256;

/** Rows of the hub's own journal. The oldest of the most frequent severity are dropped first. */
export const JOURNAL_ROWS_MAX = 100_000;
/** The same warning or alert within this time raises a count instead of adding a row. */
export const JOURNAL_REPEAT_MS = 60_000;
/**
 * Different warnings of one kind about one device, or about strangers, within that time. Further
 * ones are only counted.
 */
export const JOURNAL_DIFFERENT_MAX = 32;
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

/** How long a process waits for another one that writes the store. */
export const STORE_BUSY_MS_MAX = 5000;
