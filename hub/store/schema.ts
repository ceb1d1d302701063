// The tables of the store. Times are Unix milliseconds. STRICT makes SQLite check column types.

export const SCHEMA_VERSION = 6;

/** The tree's frontiers at earlier sizes, which make a comparison with an old size cheap. */
const AUDIT_FRONTIERS = `
CREATE TABLE auditFrontiers (
  log INTEGER NOT NULL REFERENCES auditLogs (log),
  size INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  PRIMARY KEY (log, size)
) STRICT, WITHOUT ROWID;
`;

/** Messages for devices, and their answers. */
const OUTBOX = `
CREATE TABLE outbox (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  deviceId TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  channel TEXT NOT NULL,
  kind TEXT NOT NULL,
  correlation TEXT,
  message TEXT NOT NULL,
  queuedAt INTEGER NOT NULL,
  expiresAt INTEGER NOT NULL,
  deliveredAt INTEGER,
  answer TEXT,
  UNIQUE (deviceId, correlation)
) STRICT;
CREATE INDEX outboxOfDevice ON outbox (deviceId, n);
CREATE INDEX outboxByEnd ON outbox (expiresAt);
`;

/** What keeps each key, and how one key of an id follows another. [ID-61] [ID-64] */
const KEYS = `
-- the device's claim; NULL when its request does not say
ALTER TABLE devices ADD COLUMN protection TEXT CHECK (protection IN ('tpm', 'sealed', 'file'));
-- the key that was in force when the device asked with both
ALTER TABLE devices ADD COLUMN provenBy TEXT;
-- approved beside the key in force, which ends at the first connection with this one
ALTER TABLE devices ADD COLUMN overlapUntil INTEGER;
ALTER TABLE devices ADD COLUMN replacedBy TEXT;
-- an operator's permission for one other key
ALTER TABLE devices ADD COLUMN rekeyUntil INTEGER;
ALTER TABLE devices ADD COLUMN rekeyTo TEXT CHECK (rekeyTo IN ('tpm', 'sealed', 'file'));
-- [ID-7] an id has one key in force at a time, even if the code above has a defect
DROP INDEX IF EXISTS devicesApproved;
CREATE UNIQUE INDEX devicesApproved ON devices (id) WHERE state = 'approved' AND overlapUntil IS NULL;
CREATE UNIQUE INDEX devicesSuccessor ON devices (id) WHERE state = 'approved' AND overlapUntil IS NOT NULL;
`;

/** Sealed passwords of devices' TPMs. The rows of a device outlive its approval. */
const ESCROWS = `
CREATE TABLE escrows (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  deviceId TEXT NOT NULL,
  auditKey TEXT NOT NULL,
  madeAt INTEGER NOT NULL,
  storage TEXT NOT NULL,
  receivedAt INTEGER NOT NULL,
  note TEXT NOT NULL,
  UNIQUE (deviceId, auditKey, madeAt)
) STRICT;
`;

/** [ID-90] The list of revoked certificates in force, and what finds those that go on the next. */
const CRLS = `
CREATE TABLE crls (
  n INTEGER PRIMARY KEY CHECK (n = 1),
  number INTEGER NOT NULL,
  keyId TEXT NOT NULL,
  issuedAt INTEGER NOT NULL,
  thisUpdate INTEGER NOT NULL,
  nextUpdate INTEGER NOT NULL,
  -- what was revoked when it was issued
  revision TEXT NOT NULL,
  count INTEGER NOT NULL,
  der BLOB NOT NULL
) STRICT;
CREATE INDEX certificatesRevoked ON certificates (revokedAt) WHERE revokedAt IS NOT NULL;
`;

/** [ID-95] [ID-97] What finds the ids of a key, and what devices told of other boards. */
const BOARDS = `
CREATE INDEX devicesByKey ON devices (fingerprint);
CREATE TABLE boards (
  id TEXT PRIMARY KEY,
  born TEXT NOT NULL,
  found TEXT NOT NULL,
  address TEXT NOT NULL,
  seenAt INTEGER NOT NULL,
  -- the board that an operator has let in
  admitted TEXT
) STRICT;
`;

/** Upgrade steps, each from one version to the next; the first is for version 1. */
export const UPGRADES: readonly string[] = [AUDIT_FRONTIERS, OUTBOX, ESCROWS, KEYS, `${CRLS}${BOARDS}`];

export const SCHEMA = `
CREATE TABLE devices (
  id TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'revoked')),
  csr BLOB NOT NULL,
  serialNumber TEXT,
  uris TEXT NOT NULL,
  auditKey TEXT,
  -- a later request that differs from the approved one
  proposed BLOB,
  address TEXT NOT NULL,
  requestedAt INTEGER NOT NULL,
  seenAt INTEGER NOT NULL,
  decidedAt INTEGER,
  decidedBy TEXT,
  PRIMARY KEY (id, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX devicesPending ON devices (seenAt) WHERE state = 'pending';

CREATE TABLE certificates (
  serial TEXT PRIMARY KEY,
  deviceId TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  notBefore INTEGER NOT NULL,
  notAfter INTEGER NOT NULL,
  issuedAt INTEGER NOT NULL,
  der BLOB NOT NULL,
  revokedAt INTEGER,
  FOREIGN KEY (deviceId, fingerprint) REFERENCES devices (id, fingerprint)
) STRICT;
CREATE INDEX certificatesOfDevice ON certificates (deviceId, fingerprint, issuedAt);
CREATE INDEX certificatesByEnd ON certificates (notAfter);

CREATE TABLE connections (
  deviceId TEXT PRIMARY KEY,
  since INTEGER NOT NULL,
  address TEXT NOT NULL,
  serial TEXT NOT NULL,
  protocol TEXT NOT NULL,
  cipher TEXT NOT NULL,
  keyGroup TEXT NOT NULL
) STRICT;

CREATE TABLE auditLogs (
  log INTEGER PRIMARY KEY,
  deviceId TEXT NOT NULL,
  auditKey TEXT NOT NULL,
  size INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  root BLOB NOT NULL,
  frontier BLOB NOT NULL,
  cosigned TEXT NOT NULL,
  updatedAt INTEGER NOT NULL,
  UNIQUE (deviceId, auditKey)
) STRICT;

CREATE TABLE auditRecords (
  log INTEGER NOT NULL REFERENCES auditLogs (log),
  seq INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  -- the hash when it was witnessed: shows which record was changed afterwards
  leaf BLOB NOT NULL,
  PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  deviceId TEXT NOT NULL,
  id TEXT NOT NULL,
  channel TEXT NOT NULL,
  at TEXT NOT NULL,
  receivedAt INTEGER NOT NULL,
  body TEXT,
  UNIQUE (deviceId, id)
) STRICT;
CREATE INDEX messagesOfDevice ON messages (deviceId, n);

CREATE TABLE journal (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL,
  severity TEXT NOT NULL CHECK (severity IN ('info', 'notice', 'warning', 'alert')),
  deviceId TEXT,
  detail TEXT NOT NULL,
  firstAt INTEGER NOT NULL,
  lastAt INTEGER NOT NULL,
  times INTEGER NOT NULL
) STRICT;
CREATE INDEX journalBySeverity ON journal (severity, n);
CREATE INDEX journalByEvent ON journal (event, deviceId, n);
${AUDIT_FRONTIERS}${OUTBOX}${ESCROWS}${KEYS}${CRLS}${BOARDS}`;
