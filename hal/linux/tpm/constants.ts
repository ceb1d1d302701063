// The numbers of TPM 2.0 Library Part 2 that this layer uses. Tables and clauses of the Library are
// numbered here as in revision 1.59.

/** TPM_ALG_ID. (Part 2, table 9) */
export const ALG = {
  rsa: 0x0001,
  sha1: 0x0004,
  hmac: 0x0005,
  aes: 0x0006,
  keyedHash: 0x0008,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  ecdsa: 0x0018,
  ecc: 0x0023,
  cfb: 0x0043,
} as const;

/** TPM_ECC_CURVE. (Part 2, table 10) */
export const CURVE_P256 = 0x0003;

/** TPM_CC. (Part 2, table 12) */
export const COMMAND = {
  nvUndefineSpace: 0x0122,
  evictControl: 0x0120,
  clearControl: 0x0127,
  hierarchyChangeAuth: 0x0129,
  nvDefineSpace: 0x012a,
  createPrimary: 0x0131,
  nvIncrement: 0x0134,
  nvWrite: 0x0137,
  dictionaryAttackLockReset: 0x0139,
  dictionaryAttackParameters: 0x013a,
  selfTest: 0x0143,
  startup: 0x0144,
  shutdown: 0x0145,
  activateCredential: 0x0147,
  certify: 0x0148,
  nvRead: 0x014e,
  policySecret: 0x0151,
  create: 0x0153,
  load: 0x0157,
  quote: 0x0158,
  sign: 0x015d,
  unseal: 0x015e,
  flushContext: 0x0165,
  loadExternal: 0x0167,
  nvReadPublic: 0x0169,
  policyAuthorize: 0x016a,
  readPublic: 0x0173,
  startAuthSession: 0x0176,
  verifySignature: 0x0177,
  getCapability: 0x017a,
  getRandom: 0x017b,
  pcrRead: 0x017e,
  policyPcr: 0x017f,
  pcrExtend: 0x0182,
  policyGetDigest: 0x0189,
} as const;

/** TPM_ST. (Part 2, table 19) */
export const TAG = {
  noSessions: 0x8001,
  sessions: 0x8002,
  attestCertify: 0x8017,
  attestQuote: 0x8018,
  hashCheck: 0x8024,
} as const;

/** TPM_RH. (Part 2, table 28) */
export const HANDLE = {
  owner: 0x4000_0001,
  null: 0x4000_0007,
  password: 0x4000_0009,
  lockout: 0x4000_000a,
  endorsement: 0x4000_000b,
  platform: 0x4000_000c,
} as const;

/** TPM_HC, the first handle of each kind. (Part 2, table 29) */
export const FIRST_HANDLE = {
  nv: 0x0100_0000,
  loadedSession: 0x0200_0000,
  transient: 0x8000_0000,
  persistent: 0x8100_0000,
} as const;

/**
 * Where the storage root and the endorsement key of P-256 lie. (TCG, Provisioning Guidance, section
 * 7.8, and Registry of Reserved TPM 2.0 Handles)
 */
export const PERSISTENT = { storageRoot: 0x8100_0001, endorsement: 0x8101_0001 } as const;

/** TPM_CAP. (Part 2, table 22) */
export const CAPABILITY = {
  algorithms: 0x0000_0000,
  handles: 0x0000_0001,
  commands: 0x0000_0002,
  properties: 0x0000_0006,
} as const;

/** TPM_PT. (Part 2, table 23) */
export const PROPERTY = {
  manufacturer: 0x0000_0105,
  permanent: 0x0000_0200,
  lockoutCounter: 0x0000_020e,
  maxAuthFail: 0x0000_020f,
  lockoutInterval: 0x0000_0210,
  lockoutRecovery: 0x0000_0211,
} as const;

/** TPMA_PERMANENT. (Part 2, table 34) */
export const PERMANENT = {
  ownerAuthSet: 0x0000_0001,
  endorsementAuthSet: 0x0000_0002,
  lockoutAuthSet: 0x0000_0004,
  disableClear: 0x0000_0100,
  inLockout: 0x0000_0200,
} as const;

/** TPMA_OBJECT. (Part 2, table 31) */
export const OBJECT = {
  fixedTpm: 0x0000_0002,
  fixedParent: 0x0000_0010,
  sensitiveDataOrigin: 0x0000_0020,
  userWithAuth: 0x0000_0040,
  adminWithPolicy: 0x0000_0080,
  noDa: 0x0000_0400,
  restricted: 0x0001_0000,
  decrypt: 0x0002_0000,
  sign: 0x0004_0000,
} as const;

/** TPMA_NV. (Part 2, table 214) */
export const NV = {
  ownerWrite: 0x0000_0002,
  authWrite: 0x0000_0004,
  counter: 0x0000_0010,
  ownerRead: 0x0002_0000,
  authRead: 0x0004_0000,
  noDa: 0x0200_0000,
  written: 0x2000_0000,
} as const;

/** TPMA_SESSION. (Part 2, table 32) */
export const SESSION = { continueSession: 0x01, decrypt: 0x20, encrypt: 0x40 } as const;

/** TPM_SU. (Part 2, table 20) */
export const STARTUP = { clear: 0x0000 } as const;

/** TPM_SE. (Part 2, table 21) */
export const SESSION_TYPE = { hmac: 0x00, policy: 0x01, trial: 0x03 } as const;

/** TPM_GENERATED_VALUE, the first bytes of whatever a TPM attests. (Part 2, table 7) */
export const GENERATED = 0xff54_4347;
