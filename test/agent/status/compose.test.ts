import fc from "fast-check";
import { test } from "tap";
import * as v from "valibot";
import { composeDeviceStatus, type DeviceStatusInputs } from "../../../agent/status/index.ts";
import { deviceStatusSchema } from "../../../agent/status/format.ts";
import { BLANK_PARTS, CONNECTED } from "../../lab/worlds/device-status.ts";

const WARDEN = {
  value: {
    startedMonotonicMs: 1,
    uptimeS: 2,
    audit: { size: 9, witnessedSize: 4, dropped: 0 },
    clock: { state: "synced", nowMs: 1, floorMs: 0 },
    residentBytes: 44_000_000,
  },
} as const satisfies DeviceStatusInputs["warden"];

test("a blank device without an answer of the warden has a status, with that as a trouble", async (t) => {
  const status = composeDeviceStatus(BLANK_PARTS);
  t.ok(v.is(deviceStatusSchema, status));
  t.notOk("audit" in status || "clock" in status || "device" in status || "key" in status);
  t.same(status.troubles, ["protocol.closed: the warden does not answer: no warden at its socket"]);
});

test("what the warden reports is in the status", async (t) => {
  const status = composeDeviceStatus({ ...BLANK_PARTS, warden: WARDEN });
  t.match(status, {
    audit: { size: 9, witnessedSize: 4 },
    clock: { state: "synced" },
    system: { wardenResidentBytes: 44_000_000, uptimeS: 12 },
    troubles: { length: 0 },
  });
  t.notOk("lockdown" in status || "update" in status, "a state that the warden does not report is not made up");
  const lockdown = { at: "confirmed", counter: 8 } as const;
  const update = { phase: "idle", running: "a" } as const;
  const complete = composeDeviceStatus({ ...BLANK_PARTS, warden: { value: { ...WARDEN.value, lockdown, update } } });
  t.same([complete.lockdown, complete.update], [lockdown, update]);
  t.ok(v.is(deviceStatusSchema, complete));
});

test("clock, dropped records and messages, expiry and denial become troubles", async (t) => {
  const { troubles } = composeDeviceStatus({
    ...BLANK_PARTS,
    warden: {
      value: {
        ...WARDEN.value,
        troubles: [{ code: "audit.tampered", message: "entry 812" }],
        clock: { ...WARDEN.value.clock, state: "unset" },
        audit: { size: 9, witnessedSize: 0, dropped: 5 },
      },
    },
    enrolment: { state: "denied" },
    certificate: { serial: "1", issuer: "CN=x", notBeforeMs: 0, notAfterMs: 1, renewAtMs: undefined, state: "expired" },
    tunnel: { ...CONNECTED.tunnel, spool: { messages: 1, bytes: 2, dropped: 3 } },
    vitals: { fault: { code: "file.read-failed", message: "no /proc" } },
    faults: [{ code: "serial.open-failed", message: "open /dev/ttyS0: no such device" }],
  });
  t.same(
    troubles.map((trouble) => trouble.split(":")[0]),
    [
      "serial.open-failed",
      "audit.tampered",
      "file.read-failed",
      "x509.invalid",
      "enrol.denied",
      "time.out-of-range",
      "audit.full",
      "spool.full",
    ],
  );
});

test("[TUN-74] the status says why there is no connection, and that the key was revoked where the hub said so", async (t) => {
  const troublesOf = (over: Partial<DeviceStatusInputs>): readonly string[] =>
    composeDeviceStatus({ ...BLANK_PARTS, warden: WARDEN, ...over }).troubles;
  const lastFault = { code: "tunnel.kicked", message: "another client may use the id" } as const;
  const tunnel = { ...CONNECTED.tunnel, state: "waiting", lastFault } as const;
  t.match(troublesOf({ tunnel }), ["tunnel.kicked: another client may use the id"]);
  t.same(troublesOf({ tunnel: { ...tunnel, state: "connected" } }), [], "over");
  const denied = (code: "enrol.denied" | "enrol.revoked") =>
    troublesOf({ enrolment: { state: "denied", lastFault: { code, message: "403" } } });
  t.match(
    [...denied("enrol.revoked"), ...denied("enrol.denied")],
    [/^enrol\.revoked: the hub has revoked/u, /^enrol\.denied: /u],
  );
});

test("[TUN-72] a certificate that begins later than the clock says is a trouble, unless the clock is not set", async (t) => {
  const issued = { serial: "1", issuer: "CN=x", renewAtMs: undefined, state: "fresh" } as const;
  const certificate = { ...issued, notBeforeMs: BLANK_PARTS.nowMs + 1, notAfterMs: BLANK_PARTS.nowMs + 2 };
  const { troubles } = composeDeviceStatus({ ...BLANK_PARTS, warden: WARDEN, certificate });
  t.match(troubles, [/^x509\.invalid: the device certificate begins later/u]);
  const clock = { ...WARDEN.value.clock, state: "unset" } as const;
  const unset = composeDeviceStatus({ ...BLANK_PARTS, certificate, warden: { value: { ...WARDEN.value, clock } } });
  t.notMatch(unset.troubles.join("\n"), /x509/u);
});

test("the schema of the status accepts the status of all inputs", async () => {
  const text = fc.string({ unit: "binary", maxLength: 1000 });
  const number = fc.double({ noNaN: true, min: -1e18, max: 1e18 });
  fc.assert(
    fc.property(text, number, fc.array(text, { maxLength: 40 }), (text, number, messages) => {
      const status = composeDeviceStatus({
        ...BLANK_PARTS,
        program: text,
        nowMs: number,
        key: { protection: "file", fingerprint: `sha256:${"0".repeat(64)}`, note: text },
        certificate: { serial: text, issuer: text, notBeforeMs: number, notAfterMs: number, renewAtMs: number, state: "fresh" },
        vitals: {
          value: {
            uptimeS: number,
            load1: number,
            memoryTotalBytes: number,
            memoryAvailableBytes: number,
            residentBytes: number,
          },
        },
        faults: messages.map((message) => ({ code: "tunnel.closed", message })),
      });
      return v.is(deviceStatusSchema, status);
    }),
    { numRuns: 200 },
  );
});

test("[TUN-62] services that the hub has not are named, and are no trouble; the advice fits", async (t) => {
  const without = ["time", "witness"] as const;
  const status = composeDeviceStatus({ ...BLANK_PARTS, warden: WARDEN, without: [...without] });
  t.ok(v.is(deviceStatusSchema, status));
  t.same(status.without, without);
  t.same(status.troubles, []);
  t.notOk("without" in composeDeviceStatus({ ...BLANK_PARTS, warden: WARDEN, without: [] }), "nothing is said of a whole hub");
  const { value } = WARDEN;
  const unset = { ...value, clock: { ...value.clock, state: "unset" }, audit: { ...value.audit, dropped: 3 } } as const;
  const troubled = composeDeviceStatus({ ...BLANK_PARTS, warden: { value: unset }, without: [...without] });
  t.match(troubled.troubles, [/the hub has no time service: set it, or let the machine have one/u, /the hub has no witness/u]);
});
