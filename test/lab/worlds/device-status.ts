// Examples of the device status, for tests of what shows it.
import * as v from "valibot";
import { type DeviceStatus, deviceStatusSchema, type IdentityView, identityViewSchema } from "../../../agent/status/format.ts";
import type { DeviceStatusInputs } from "../../../agent/status/compose.ts";

const FINGERPRINT = `sha256:${"5e".repeat(32)}`;

/** A device that is up and well. */
export const CONNECTED: DeviceStatus = v.parse(deviceStatusSchema, {
  v: 1,
  program: "sallyport-agent/0.1.0",
  at: "2026-11-22T04:32:11.000Z",
  life: "connected",
  device: { id: "gw-0042", source: "serial", model: "Simulated Gateway 100" },
  key: { protection: "tpm", fingerprint: FINGERPRINT },
  certificate: {
    serial: "4f1d2c3b4a59687766554433221100ff",
    issuer: "CN=Sallyport Device CA",
    notBefore: "2026-11-22T03:00:00.000Z",
    notAfter: "2027-02-20T03:00:00.000Z",
    state: "fresh",
    renewAt: "2027-02-02T03:00:00.000Z",
  },
  enrolment: { state: "done" },
  tunnel: {
    state: "connected",
    hub: "hub.example.net:8883",
    peer: "CN=hub.example.net",
    tls: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    group: "X25519MLKEM768",
    mqtt: "5",
    connectedForS: 11_530,
    connections: 4,
    spool: { messages: 0, bytes: 0, dropped: 0 },
  },
  audit: { size: 812, witnessedSize: 800, dropped: 0 },
  clock: { state: "synced", nowMs: 1_795_321_931_000, floorMs: 1_795_000_000_000 },
  system: {
    uptimeS: 270_000,
    load1: 0.12,
    memoryAvailableBytes: 412_000_000,
    memoryTotalBytes: 1_024_000_000,
    agentResidentBytes: 58_100_000,
    wardenResidentBytes: 44_700_000,
  },
  troubles: [],
});

/** A device that waits for approval, with its key in a file, and without its hub. */
export const WAITING: DeviceStatus = v.parse(deviceStatusSchema, {
  ...CONNECTED,
  life: "requested",
  key: { protection: "file", fingerprint: FINGERPRINT, note: "no /dev/tpmrm0 on this machine" },
  certificate: undefined,
  enrolment: {
    state: "waiting-for-approval",
    lastFault: { code: "enrol.pending", message: 'EST at "hub.example.net:8443" answered 202' },
  },
  tunnel: { state: "idle", connections: 0, spool: { messages: 3, bytes: 3_412, dropped: 0 } },
  clock: { state: "unverified", nowMs: 1_795_321_931_000, floorMs: 1_795_000_000_000 },
});

/**
 * The status of a device that was just switched on: everything is unknown, and the warden does not
 * answer.
 */
export const BLANK_PARTS: DeviceStatusInputs = {
  program: "sallyport-agent/0.1.0",
  nowMs: Date.UTC(2026, 10, 22, 4, 32, 11),
  life: "blank",
  identity: undefined,
  key: undefined,
  certificate: undefined,
  enrolment: undefined,
  tunnel: { state: "idle", connections: 0, spool: { messages: 0, bytes: 0, dropped: 0 } },
  warden: { fault: { code: "protocol.closed", message: "no warden at its socket" } },
  vitals: {
    value: { uptimeS: 12.7, load1: 0.5, memoryTotalBytes: 2 ** 30, memoryAvailableBytes: 2 ** 29, residentBytes: 2 ** 26 },
  },
  faults: [],
};

/** The identity of {@link CONNECTED}, with the chip that it was born on. */
export const IDENTITY: IdentityView = v.parse(identityViewSchema, {
  v: 1,
  at: CONNECTED.at,
  device: { ...CONNECTED.device, boardSerial: "SN-0042-A" },
  key: CONNECTED.key,
  birth: {
    v: 2,
    id: "gw-0042",
    source: "serial",
    protection: "tpm",
    keyFingerprint: FINGERPRINT,
    chip: { storage: `000b${"51".repeat(32)}`, endorsement: `000b${"e4".repeat(32)}` },
  },
  tpm: {
    present: true,
    ownership: "ours",
    clear: "forbidden",
    lockedOut: false,
    escrowed: true,
    endorsement: `000b${"e4".repeat(32)}`,
    storage: `000b${"51".repeat(32)}`,
  },
  certificate: CONNECTED.certificate,
  enrolment: CONNECTED.enrolment,
  auditKey: `sha256:${"7a".repeat(32)}`,
  unknown: [],
});
