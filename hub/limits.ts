// Bounds of the hub. Whatever comes from outside meets one of these first.

/** A body sent to the EST and time endpoints: base64 of a request with room for wrapped lines. */
export const HTTP_BODY_BYTES_MAX = 16_384;
/** Open HTTPS connections. */
export const HTTP_CONNECTIONS_MAX = 1024;
export const HTTP_REQUEST_MS_MAX = 15_000;

/** Open MQTT connections, admitted or not. */
export const MQTT_CONNECTIONS_MAX = 16_384;
/** The first packet, from somebody not known yet: CONNECT with its will. */
export const MQTT_CONNECT_BYTES_MAX = 16_384;
/** Topic and packet header beside a message of the largest size. */
export const MQTT_PACKET_OVERHEAD_BYTES_MAX = 1024;
export const MQTT_CONNECT_MS_MAX = 10_000;
export const TLS_HANDSHAKE_MS_MAX = 10_000;
/** After a refusal or a kick the last bytes get this long to arrive before the connection is cut. */
export const MQTT_LINGER_MS = 1000;
/** QoS 2 messages half way in, a client. */
export const MQTT_INFLIGHT_MAX = 16;

/** Requests that wait for an operator: of all devices, from one source (devices behind one address translation are one), for one id with a key each. */
export const PENDING_REQUESTS_MAX = 1024;
export const PENDING_PER_SOURCE_MAX = 256;
export const PENDING_PER_ID_MAX = 8;
/** Denials remembered; a key whose denial was let go may ask again, and waits again. */
export const DENIED_MAX = 1024;
export const DENIED_PER_ID_MAX = 8;
/** Certificates of one device that are still valid. */
export const CERTIFICATES_PER_DEVICE_MAX = 64;
/** [ID-12] Share of a certificate's life in which its device gets no other. */
export const CERTIFICATE_GAP_RATIO = 0.1;
/** Expired certificates are kept this long for the record. */
export const CERTIFICATES_KEPT_MS = 90 * 24 * 3_600_000;

/** Message ids remembered for each device: what is sent again is sent again soon. [TUN-8] */
export const MESSAGES_KEPT_PER_DEVICE = 2048;
/** Larger bodies are remembered by id only. */
export const MESSAGE_BODY_BYTES_KEPT = 4096;
/** Messages for one device that it has not got yet, or has not answered. */
export const OUTBOX_PER_DEVICE_MAX = 64;
/** Of these, sent and not acknowledged: a device refuses more than it can handle at once. */
export const OUTBOX_ON_THE_WAY_MAX = 4;
/** Messages to one connection whose PUBACK is waited for, those sent again counted twice. */
export const ON_THE_WAY_PER_LINK_MAX = 32;
/** After an acknowledgement the next messages go out this much later, those of many devices together. */
export const OUTBOX_NEXT_MS = 50;
/** Sent again, under the same id, when it is not acknowledged by then. */
export const OUTBOX_AGAIN_MS = 15_000;
/** How often a command that waits for an answer looks for it. */
export const ANSWER_LOOK_MS = 50;
/** A hint is let go after this; the device looks by itself once a day. [OTA-42] */
export const HINT_LIFE_MS = 24 * 3_600_000;

/** Messages made durable by one commit. */
export const COMMIT_MESSAGES_MAX = 256;

/** Rows of the hub's own journal; the oldest go first, of the severity that has the most. */
export const JOURNAL_ROWS_MAX = 100_000;
/** The same warning or alert again within this time raises a count instead of adding a row. */
export const JOURNAL_REPEAT_MS = 60_000;
/** Different warnings of one kind about one device, or about strangers, within that time; what comes then is only counted. */
export const JOURNAL_DIFFERENT_MAX = 32;
/** What one device's audit log may take. */
export const AUDIT_LOG_BYTES_MAX = 1_073_741_824;
/** The tree is remembered every so many records, so that a checkpoint older than the hub's costs fewer than that to compare, whatever its size. */
export const AUDIT_FRONTIER_RECORDS = 256;
/** The same for what a hub stored that did not remember them yet: above it, it is not compared. */
export const AUDIT_REHASH_RECORDS_MAX = 4096;

/** How soon a change made by the command line reaches the running hub. */
export const WATCH_INTERVAL_MS = 500;
export const STORE_BUSY_MS_MAX = 5000;
