// The edges of files at rest that are no JSON, or whose fault is only reported: keys, certificates,
// the spool, the audit log and its evidence. [STA-4]
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { openConsoleRecord } from "../../../agent/console/record.ts";
import { LOG_NAMES_MAX, verify } from "../../../agent/cli/verify.ts";
import { SEGMENT_FILE_BYTES_MAX } from "../../../agent/tunnel/spool/limits.ts";
import { encodeRecords, scan } from "../../../agent/tunnel/spool/record.ts";
import { Fault } from "../../../hal/fault.ts";
import { BOOT_PLAN_BYTES_MAX, encodeBootPlan } from "../../../hal/format/slots.ts";
import { createFileKeyStore, createSealedKeyStore, createTpmKeyStore, KEY_BYTES_MAX } from "../../../hal/linux/keys/index.ts";
import { PERSISTENT, sealTemplate, SIGNING_TEMPLATE, writeTss2Pem } from "../../../hal/linux/tpm/index.ts";
import { createFileBootChoice } from "../../../hal/linux/slots/choice.ts";
import type { DurableFiles } from "../../../hal/ports.ts";
import { createCertificateReceipts } from "../../../provisioning/certificate/receipts.ts";
import { RECEIPTS_FILE_BYTES_MAX } from "../../../provisioning/certificate/limits.ts";
import { loadRequest } from "../../../provisioning/enrolment/record.ts";
import { UPGRADE_RECORD_BYTES_MAX } from "../../../provisioning/upgrade/limits.ts";
import { loadUpgrade } from "../../../provisioning/upgrade/record.ts";
import { readRecord } from "../../../hal/record.ts";
import { KEY_GRANT } from "../../../warden/identity/upgrade.ts";
import { buildRequest, parseRequest, REQUEST_BYTES_MAX } from "../../../provisioning/x509/format/index.ts";
import { NOTE_BYTES_MAX, SEGMENT_BYTES_MAX, segmentName } from "../../../warden/audit/format/index.ts";
import { openCheckpoint } from "../../../warden/audit/checkpoints.ts";
import { loadAuditKey } from "../../../warden/audit/key.ts";
import { AUDIT_KEY_BYTES_MAX } from "../../../warden/audit/limits.ts";
import { RESET_RECORD_BYTES_MAX } from "../../../warden/reset/limits.ts";
import { RESET_FILE, RESET_RECORD } from "../../../warden/reset/record.ts";
import { ASIDE_BYTES_MAX, RECORD_BYTES_MAX as CHIP_BYTES_MAX } from "../../../warden/tpm/limits.ts";
import { readAside, readChipRecord } from "../../../warden/tpm/record.ts";
import { openTrustedClock } from "../../../warden/time/trusted-clock.ts";
import { fakeClock } from "../fakes/clock.ts";
import { fakeFiles } from "../fakes/files.ts";
import { DEVICE_ID } from "../worlds/lockdown.ts";
import { smallTrail } from "../worlds/trail.ts";
import { hostileDer } from "./der.ts";
import { type Edge, hostileJson, membersOf, notIgnored, text } from "./edge.ts";

/** Wall clock less monotonic clock of a fake clock. [TUN-70] */
const CLOCK_OFFSET_MS = fakeClock().nowMs() - fakeClock().monotonicMs();

export async function recordEdges(): Promise<ReadonlyMap<string, Edge>> {
  return new Map([...smallRecords(), ...keyFiles(), ...(await requestFile()), ...logFiles(), ...spoolFile()]);
}

/** Files that hold one file, and bound it as files of the disk do. */
function holding(bytes: Uint8Array): DurableFiles {
  return {
    ...fakeFiles(),
    get: async (name, bytesMax) => {
      if (bytes.byteLength > bytesMax) throw new Fault("file.too-large", `read "${name}": it has more than ${bytesMax} bytes`);
      return bytes;
    },
  };
}

function smallRecords(): readonly (readonly [string, Edge])[] {
  const record = (
    bytesMax: number,
    members: Readonly<Record<string, unknown>>,
    read: (files: DurableFiles) => Promise<unknown>,
  ): Edge => ({
    bytesMax,
    take: async (bytes) => await read(holding(bytes)),
    valid: () => Buffer.from(JSON.stringify(members)),
    worst: hostileJson(bytesMax, membersOf(Object.keys(members), members)),
  });
  const secret = "ab".repeat(32);
  const chip = {
    before: { lockoutRecoveryS: 1000, recoveryS: 1000, tries: 3 },
    lockout: "set",
    made: { endorsement: true, storage: true },
    passwords: { counter: secret, endorsement: secret, lockout: secret, owner: secret },
    readable: 1,
    step: "owned",
    v: 1,
  };
  const receipt = { certificate: "ab".repeat(32), receivedAt: 1_800_000_000_000 };
  return [
    [
      "record of the console",
      record(1024, { delayMs: 0, hintAtMs: 1, openAtMs: 0, readable: 1, v: 1 }, async (files) =>
        openConsoleRecord(files, { nowMs: 0, bootId: "boot" }, (fault) => {
          if (fault !== undefined) throw fault;
        }),
      ),
    ],
    [
      "record of the clock",
      record(256, { bootId: "boot", offsetMs: CLOCK_OFFSET_MS, readable: 1, v: 2 }, async (files) => {
        const clock = fakeClock();
        const bounds = { floorMs: clock.nowMs() - 1, ceilingMs: clock.nowMs() + 1 };
        const common = { clock, bounds, deviceId: DEVICE_ID, timeKey: undefined, bootId: "boot" };
        return notIgnored((await openTrustedClock({ ...common, state: files })).isSynced() ? true : undefined);
      }),
    ],
    [
      "record of the TPM's passwords",
      record(CHIP_BYTES_MAX, chip, async (files) => {
        const found = await readChipRecord(files);
        if ("fault" in found) throw found.fault;
        notIgnored(found.record);
      }),
    ],
    [
      "records of the TPM's former passwords",
      record(
        ASIDE_BYTES_MAX,
        { readable: 1, records: [Buffer.from(JSON.stringify(chip)).toString("base64")], v: 1 },
        async (files) => notIgnored((await readAside(files))[0]),
      ),
    ],
    [
      "receipts of certificates",
      record(RECEIPTS_FILE_BYTES_MAX, { readable: 1, received: [receipt], v: 1 }, async (files) =>
        notIgnored(await createCertificateReceipts(files).lastReceivedAtMs()),
      ),
    ],
    [
      "record of a key upgrade",
      record(
        UPGRADE_RECORD_BYTES_MAX,
        { at: "making", from: `sha256:${"ab".repeat(32)}`, order: "5a".repeat(32), readable: 1, to: "tpm", v: 1, was: "file" },
        async (files) => notIgnored((await loadUpgrade(files)).at === "idle" ? undefined : true),
      ),
    ],
    [
      "grant of a key upgrade",
      record(
        KEY_GRANT.bytesMax,
        { by: "ada", from: `sha256:${"ab".repeat(32)}`, order: "5a".repeat(32), orderedAt: 1, readable: 1, to: "tpm", v: 1 },
        async (files) => await readRecord(files, "key-grant.json", KEY_GRANT),
      ),
    ],
    [
      "record of a reset",
      record(
        RESET_RECORD_BYTES_MAX,
        {
          at: "released",
          chip: { handedBack: true },
          order: { by: "ada", planHash: `sha256:${"ab".repeat(32)}` },
          readable: 1,
          v: 1,
        },
        async (files) => notIgnored(await readRecord(files, RESET_FILE, RESET_RECORD)),
      ),
    ],
    [
      "choice of the boot",
      {
        bytesMax: BOOT_PLAN_BYTES_MAX,
        take: async (bytes) => await createFileBootChoice(holding(bytes)).read(),
        valid: () => Buffer.from(encodeBootPlan({ committed: "a", trial: undefined })),
        worst: new Map([
          ["text", text("a", BOOT_PLAN_BYTES_MAX)],
          ["line ends", text("\n", BOOT_PLAN_BYTES_MAX)],
        ]),
      },
    ],
  ];
}

function keyFiles(): readonly (readonly [string, Edge])[] {
  const key = (bytesMax: number, valid: Uint8Array, read: (files: DurableFiles) => Promise<unknown>): Edge => ({
    bytesMax,
    take: async (bytes) => notIgnored(await read(holding(bytes))),
    valid: () => valid,
    worst: new Map(
      ["a", "\0", "\n", "-----BEGIN PRIVATE KEY-----\n"].map((fill) => [JSON.stringify(fill), text(fill, bytesMax)] as const),
    ),
  });
  const pem = (made: KeyObject): Uint8Array => Buffer.from(made.export({ format: "pem", type: "pkcs8" }));
  return [
    [
      "key of the device",
      key(KEY_BYTES_MAX, pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey), async (files) =>
        createFileKeyStore({ files }).load(),
      ),
    ],
    ...tss2Keys().map(([what, valid, read]) => [what, key(KEY_BYTES_MAX, valid, read)] as const),
    [
      "key of the audit log",
      key(AUDIT_KEY_BYTES_MAX, pem(generateKeyPairSync("ed25519").privateKey), async (files) =>
        loadAuditKey(files, 0, DEVICE_ID),
      ),
    ],
  ];
}

/** Keys that a TPM protects. The TPM is asked last, so one that is not there means a good file. */
function tss2Keys(): readonly (readonly [string, Uint8Array, (files: DurableFiles) => Promise<unknown>])[] {
  const tcti = "device:/nowhere/tpmrm0";
  const { x, y } = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
  const [left, right] = [Buffer.from(x ?? "", "base64url"), Buffer.from(y ?? "", "base64url")];
  const key = { ...SIGNING_TEMPLATE, x: left, y: right };
  const sealed = { ...sealTemplate(), unique: new Uint8Array(32) };
  const common = { privateBlob: new Uint8Array(128), parent: PERSISTENT.storageRoot, hasNoPassword: true };
  const asked = async (loading: Promise<unknown>): Promise<unknown> => {
    try {
      return await loading;
    } catch (error) {
      if (error instanceof Fault && error.code === "key.tpm-missing") return true;
      throw error;
    }
  };
  return [
    [
      "key of the device in the TPM",
      Buffer.from(writeTss2Pem({ ...common, area: key })),
      (files) => asked(createTpmKeyStore({ files, provider: { module: "/nowhere/tpm2.so", tcti } }).load()),
    ],
    [
      "key of the device, sealed",
      Buffer.from(writeTss2Pem({ ...common, area: sealed }, "sealed")),
      (files) => asked(createSealedKeyStore({ files, tcti }).load()),
    ],
  ];
}

/** The request that a device repeats until it is approved. */
async function requestFile(): Promise<readonly (readonly [string, Edge])[]> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const common = { commonName: DEVICE_ID, serialNumber: "SN-1", uris: [], auditKey: undefined };
  const request = await buildRequest({ ...common, publicKey: publicKey.export({ format: "der", type: "spki" }) }, async (bytes) =>
    sign("sha256", bytes, privateKey),
  );
  const expected = parseRequest(request);
  return [
    [
      "stored request for a certificate",
      {
        bytesMax: REQUEST_BYTES_MAX,
        take: async (bytes) => notIgnored(await loadRequest(holding(bytes), expected)),
        valid: () => request,
        worst: hostileDer(REQUEST_BYTES_MAX),
      },
    ],
  ];
}

const RECORDS = 256;

function logFiles(): readonly (readonly [string, Edge])[] {
  const trail = smallTrail(DEVICE_ID, RECORDS);
  const checkpoint = trail.note(RECORDS);
  const { verifier } = trail.key;
  const invocation = {
    command: "audit verify",
    json: true,
    directory: "log",
    key: verifier,
    witness: undefined,
    checkpoints: [],
    epoch: 0,
  } as const;
  const verified = (names: readonly string[], segment: Uint8Array): unknown => {
    const log = { names: () => names, read: (name: string) => (name === trail.segmentName ? segment : undefined) };
    const evidence = { log, state: { names: () => [], read: () => undefined }, checkpoints: [checkpoint] };
    const { verified: isVerified, text: verdict } = verify(invocation, evidence);
    if (!isVerified) throw new Fault("audit.tampered", verdict);
    return verdict;
  };
  const after = (fill: readonly number[]) => (): Uint8Array => {
    const room = Buffer.alloc(SEGMENT_BYTES_MAX - trail.segment.byteLength);
    return Buffer.concat([trail.segment, room.fill(Buffer.from(fill))]);
  };
  return [
    [
      "segment of an audit log",
      {
        bytesMax: SEGMENT_BYTES_MAX,
        boundedBefore: true,
        take: (bytes) => verified([trail.segmentName], bytes),
        valid: () => trail.segment,
        worst: new Map([
          ["zeros", () => Buffer.alloc(SEGMENT_BYTES_MAX)],
          ["zeros after the records", after([0])],
          ["beginnings of frames after the records", after([0x80, 0x00, 0x0f, 0xf0])],
          ["frames without a beginning after the records", after([0x00, 0x00, 0x00, 0x01])],
        ]),
      },
    ],
    [
      "names in the directory of an audit log",
      {
        bytesMax: 2_097_152,
        boundedBefore: true,
        take: (bytes) => verified(Buffer.from(bytes).toString().split("\n"), trail.segment),
        valid: () =>
          Buffer.from([trail.segmentName, ...Array.from({ length: LOG_NAMES_MAX - 1 }, (_, n) => `file-${n}`)].join("\n")),
        worst: new Map([
          ["many segments", () => Buffer.from(Array.from({ length: 60_000 }, (_, n) => segmentName(0, n + 1)).join("\n"))],
          ["more names than any log", text("a\n", 2_097_152)],
        ]),
      },
    ],
    [
      "checkpoint",
      {
        bytesMax: NOTE_BYTES_MAX,
        take: (bytes) => openCheckpoint(Buffer.from(bytes).toString(), verifier),
        valid: () => Buffer.from(checkpoint),
        worst: new Map(
          ["\n", "a", "\n\n— a AAAA", "— ", "\u0000", "\u2028"].map((fill) => [
            JSON.stringify(fill),
            text(fill, NOTE_BYTES_MAX - (NOTE_BYTES_MAX % Buffer.byteLength(fill))),
          ]),
        ),
      },
    ],
  ];
}

function spoolFile(): readonly (readonly [string, Edge])[] {
  const entry = { channel: "event", written: { by: "hub-time", atMs: 1 }, payload: new Uint8Array() } as const;
  const message = encodeRecords([entry], undefined);
  const fill = (bytes: Uint8Array) => (): Uint8Array => Buffer.alloc(SEGMENT_FILE_BYTES_MAX).fill(bytes);
  return [
    [
      "segment of the spool",
      {
        bytesMax: SEGMENT_FILE_BYTES_MAX,
        boundedBefore: true,
        take: (bytes) => {
          const { items, goodBytes } = scan(bytes);
          if (goodBytes < bytes.byteLength) throw new Fault("spool.corrupt", `${items.length} records are good`);
        },
        valid: () =>
          Buffer.concat(Array.from({ length: Math.floor(SEGMENT_FILE_BYTES_MAX / message.byteLength) }, () => message)),
        worst: new Map([
          ["zeros", fill(Uint8Array.of(0))],
          ["ones", fill(Uint8Array.of(255))],
          ["messages of no bytes, cut", fill(message)],
        ]),
      },
    ],
  ];
}
