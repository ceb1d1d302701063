// The screens that a technician reads. One is pinned as a whole, so that every change of it shows.
import fc from "fast-check";
import { test } from "tap";
import { statusForGuest } from "../../../agent/operations/redact.ts";
import { composeDeviceStatus, renderChallenge, renderLockdown, renderStatus, renderUpdate } from "../../../agent/status/index.ts";
import type { DeviceStatus } from "../../../agent/status/format.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import { deviceId } from "../../lab/worlds/operations.ts";
import { BLANK_PARTS, CONNECTED, WAITING } from "../../lab/worlds/device-status.ts";

const F = "5e".repeat(32);

test("the status of a connected device without troubles", async (t) => {
  t.equal(
    renderStatus(CONNECTED),
    `sallyport-agent/0.1.0: CONNECTED                        2026-11-22 04:32:11 UTC
device  gw-0042 (board serial), Simulated Gateway 100
key     in the TPM
        sha256:${F}
cert    valid until 2027-02-20 03:00 UTC (in 89 d 22 h), renewed in 71 d 22 h
        serial 4f1d2c3b4a59687766554433221100ff, issuer CN=Sallyport Device CA
tunnel  up for 3 h 12 min, 4 connections
        hub hub.example.net:8883, peer CN=hub.example.net
        TLSv1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, MQTT 5
spool   0 messages waiting, 0 B, 0 dropped
audit   812 records, 800 witnessed by the hub, 0 dropped
clock   set from the hub's signed time
memory  412 MB of 1.0 GB free, agent 58 MB, warden 45 MB
machine up 3 d 3 h, load 0.12
trouble none
`,
  );
});

test("[TUN-62] a hub without time service and witness: the screen says what is not protected", async (t) => {
  const clock = { state: "unverified", nowMs: 1, floorMs: 0 } as const;
  const text = renderStatus({ ...CONNECTED, clock, without: ["time", "witness"] });
  t.match(text, "audit   812 records, NOT PROTECTED: no witness, 0 dropped");
  t.match(text, "clock   plausible, NOT PROTECTED: the hub has no time service");
  t.match(text, "trouble none");
  t.match(renderStatus({ ...CONNECTED, clock: { ...clock, state: "unset" }, without: ["time"] }), "clock   NOT SET");
  t.match(renderStatus({ ...CONNECTED, clock }), "clock   plausible, not checked against the hub", "unknown is not absent");
});

test("[ID-26] the fingerprint of the audit key stands below the log's row, for the operator who approves", async (t) => {
  const text = renderStatus({ ...CONNECTED, auditKey: `sha256:${"7a".repeat(32)}` });
  t.match(text, `audit   812 records, 800 witnessed by the hub, 0 dropped\n        sha256:${"7a".repeat(32)}\n`);
});

test("a device that waits for approval shows the whole fingerprint, and why its key is not in a TPM", async (t) => {
  const text = renderStatus(WAITING);
  t.match(text, "enrol   waiting for the operator to approve this id and key fingerprint\n");
  t.match(text, `\n        sha256:${F}\n`);
  t.match(text, "key     in a file, NOT in a TPM: no /dev/tpmrm0 on this machine\n");
  t.match(text, "cert    none yet\n");
});

test("a device that knows nothing yet says so instead of showing zeros", async (t) => {
  const text = renderStatus(composeDeviceStatus(BLANK_PARTS));
  t.match(text, "device  not known yet\nkey     none yet\ncert    none yet\n");
  t.match(text, "audit   not known: the warden does not answer\n");
  t.match(text, "trouble protocol.closed: the warden does not answer: no warden at its socket\n");
});

test("a lost tunnel shows the reason and the next attempt; an expired certificate is in capitals", async (t) => {
  const { certificate } = CONNECTED;
  if (certificate === undefined) throw t.fail("the status has a certificate");
  const text = renderStatus({
    ...CONNECTED,
    certificate: { ...certificate, state: "expired", notAfter: "2026-11-20T04:32:11.000Z" },
    tunnel: {
      state: "waiting",
      connections: 1,
      retryInS: 42,
      lastFault: { code: "tunnel.unreachable", message: "connect ECONNREFUSED" },
      spool: { messages: 7, bytes: 5120, dropped: 2 },
    },
  });
  t.match(text, "cert    EXPIRED 2026-11-20 04:32 UTC (2 d ago)\n");
  t.match(text, "tunnel  DOWN, next try in 42 s, 1 connection\n        tunnel.unreachable: connect ECONNREFUSED\n");
  t.match(text, "spool   7 messages waiting, 5.1 kB, 2 dropped\n");
});

test("a guest sees that something is withheld, not that it is missing", async (t) => {
  t.match(renderStatus(statusForGuest(CONNECTED)), "hub (withheld), peer (withheld)\n");
});

const PLAN = `sha256:${"ab".repeat(32)}` as const;
const RELEASE = { target: "os/gateway-100-1.3.0", counter: 3, digest: "cd".repeat(32) };

test("policy and update have a line each, and another one for a reason or a fault", async (t) => {
  const shown = (state: Pick<DeviceStatus, "lockdown" | "update">): string[] =>
    renderStatus({ ...CONNECTED, ...state })
      .split("\n")
      .slice(11, -5);
  t.same(shown({ lockdown: { at: "confirmed", counter: 8 }, update: { phase: "idle", version: "1.2.0", running: "a" } }), [
    "policy  number 8 is in force, confirmed",
    "update  1.2.0 runs from slot a, no new release",
  ]);
  t.same(
    shown({
      lockdown: {
        at: "pending",
        counter: 9,
        trial: { planHash: PLAN, nonce: "5a".repeat(32), confirmWithinMs: 543_000 },
        unenforced: ["usb: no authorisation in this kernel"],
      },
      update: {
        phase: "trying",
        version: "1.3.0",
        running: "b",
        slot: "b",
        release: RELEASE,
        health: [
          { name: "agent", verdict: "passed", detail: "" },
          { name: "hub", verdict: "waiting", detail: "nothing signed yet" },
        ],
      },
    }),
    [
      "policy  number 9 ON TRIAL, reverted in 9 min unless confirmed",
      "        NOT ENFORCED: usb: no authorisation in this kernel",
      "update  1.3.0 runs from slot b, TRYING release 3 (os/gateway-100-1.3.0)",
      "        health: agent passed, hub waiting (nothing signed yet)",
    ],
  );
  t.same(
    shown({
      lockdown: { at: "base", reverted: { planHash: PLAN, reason: "nobody confirmed it in time" } },
      update: {
        phase: "rolled-back",
        version: "1.2.0",
        running: "a",
        release: RELEASE,
        reason: { why: "deadline", detail: "hub: nothing" },
      },
    }),
    [
      "policy  the image's own is in force",
      "        the last policy tried was REVERTED: nobody confirmed it in time",
      "update  1.2.0 runs from slot a, release 3 (os/gateway-100-1.3.0) ROLLED BACK",
      "        deadline: hub: nothing",
    ],
  );
});

test("every phase of an update has its text; the long form cuts nothing and has the subject of an order", async (t) => {
  const base = { version: "1.2.0", running: "a", slot: "b", release: RELEASE } as const;
  const R = "release 3 (os/gateway-100-1.3.0)";
  const cases: readonly [UpdateStatus, string][] = [
    [{ phase: "fetching", release: RELEASE }, `looking up ${R}`],
    [
      { ...base, phase: "verified", expects: { part: "root", from: 12, chunks: 300 } },
      `writing ${R} slot b: root, 12 of 300 chunks`,
    ],
    [{ ...base, phase: "verified", expects: { part: "root", from: 300, chunks: 300 } }, "slot b: reading root back"],
    [{ ...base, phase: "verified" }, `writing ${R}`],
    [{ ...base, phase: "written" }, `${R} is written in slot b, waiting for its trial`],
    [{ ...base, phase: "written", awaitsOrder: PLAN }, `WAITS FOR AN ORDER order "update approve" needs an order over ${PLAN}`],
    [{ ...base, phase: "committing" }, `${R} passed its checks, being committed`],
    [{ ...base, phase: "rolling-back" }, `ROLLING BACK ${R}`],
    [{ ...base, phase: "committed" }, `${R} committed`],
    [{ ...base, phase: "failed", detail: "chunk.tampered: chunk 7" }, `${R} FAILED chunk.tampered: chunk 7`],
  ];
  for (const [update, expected] of cases) {
    const text = renderUpdate(update);
    t.ok(text.replaceAll(/\s+/gu, " ").includes(expected), `${text} has ${expected}`);
    for (const line of text.split("\n")) t.ok(line.length <= 79, line);
  }
});

test("the long form of the policy has its state and two lists, each cut to a number of lines", async (t) => {
  const open = Array.from({ length: 5 }, (_, n) => `tcp ${n}`);
  const text = renderLockdown({ state: { at: "shut", counter: 8, planHash: PLAN }, open, usb: ["x".repeat(200)] }, 3);
  t.match(
    text,
    `policy  SHUT: only connections to the hub are open\nplan    ${PLAN}\nopen    tcp 0\n        tcp 1\n        and 3 more\n`,
  );
  for (const line of text.split("\n")) t.ok(line.length <= 79, line);
  t.match(renderLockdown({ state: { at: "changing" }, open: [], usb: [] }), "policy  being changed now\nopen    nothing\n");
});

test("[CON-4] a challenge says who may answer, by when, and with which command; all other lines fit the screen", async (t) => {
  const challenge = { deviceId: deviceId("gw-0042"), nonce: "5a".repeat(32) };
  const trial = renderChallenge({ ...challenge, verb: "lockdown.confirm", planHash: PLAN });
  t.match(
    trial,
    /^This needs an order "lockdown\.confirm" by a confirm key of the policy on trial\.\nBefore the trial ends, run/u,
  );
  t.match(trial, `\n\nsallyport-hub answer sp1/lockdown.confirm/gw-0042/${"5a".repeat(32)}/${PLAN} --key FILE\n\n`);
  t.match(
    renderChallenge({ ...challenge, verb: "system.reboot" }),
    /by someone whose role may give it\.\nWithin 15 minutes, run/u,
  );
  t.match(
    renderChallenge({ ...challenge, verb: "console.login" }),
    /^Within 15 minutes, run this on the laptop that has your key/u,
  );
  for (const line of trial.split("\n")) t.ok(line.length < 80 || line.startsWith("sallyport-hub answer"), line);
});

/** A status with `text` in every place, and with every optional line. */
function hostileStatus(text: string, troubles: string[]): DeviceStatus {
  const { device, key, certificate, tunnel } = CONNECTED;
  const lastFault = { code: "tunnel.refused", message: text } as const;
  return {
    ...CONNECTED,
    program: text,
    ...(device && { device: { ...device, model: text } }),
    ...(key && { key: { ...key, note: text } }),
    tpm: { present: true, ownership: "unknown", clear: "possible", lockedOut: true, escrowed: false },
    auditKey: `sha256:${"7a".repeat(32)}`,
    ...(certificate && { certificate: { ...certificate, serial: text, issuer: text } }),
    enrolment: { state: "retrying", lastFault },
    tunnel: { ...tunnel, state: "waiting", hub: text, peer: text, tls: text, cipher: text, group: text, lastFault },
    lockdown: { at: "pending", counter: 1, reverted: { planHash: PLAN, reason: text }, unenforced: [text, text] },
    update: { phase: "rolled-back", version: text, running: "a", release: RELEASE, reason: { why: text, detail: text } },
    troubles,
  };
}

test("[CON-11] every status is printable ASCII on one screen, under 2,048 bytes with CR LF", async () => {
  const text = fc.oneof(fc.string({ unit: "binary", maxLength: 256 }), fc.constant("x".repeat(256)));
  fc.assert(
    fc.property(text, fc.array(text, { maxLength: 32 }), (text, troubles) => {
      const screen = renderStatus(hostileStatus(text, troubles));
      const lines = screen.trimEnd().split("\n");
      const onePage = lines.length <= 22 && lines.every((line) => line.length <= 79);
      return onePage && screen.length + lines.length < 2048 && /^[\x20-\x7e\n]*$/u.test(screen);
    }),
    { numRuns: 100 },
  );
});

test("troubles that do not fit are counted, and the details of certificate and tunnel give way to them", async (t) => {
  const full = renderStatus(hostileStatus("x", ["a.b: 1", "a.b: 2", "a.b: 3"]));
  t.match(full, /\ntrouble a\.b: 1\n        and 2 more: see status --json\n$/u);
  t.notMatch(full, /issuer|MQTT/u);
  const text = renderStatus({ ...CONNECTED, troubles: Array.from({ length: 32 }, (_, n) => `audit.full: number ${n}`) });
  t.match(text, "trouble audit.full: number 0\n");
  t.match(text, /        and 2\d more: see status --json\n$/u);
});
