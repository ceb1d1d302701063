// What a technician reads: pinned as a whole, so that a change of the look is seen as one.
import fc from "fast-check";
import { test } from "tap";
import { snapshotForGuest } from "../../../agent/operations/redact.ts";
import { composeSnapshot, renderStatus } from "../../../agent/status/index.ts";
import type { Snapshot } from "../../../agent/status/format.ts";
import { BLANK_PARTS, CONNECTED, WAITING } from "../../lab/snapshot.ts";

const F = "5e".repeat(32);

test("a device that is up and well", async (t) => {
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

test("a device that waits for approval shows the whole fingerprint to compare, and why its key is not in a TPM", async (t) => {
  const text = renderStatus(WAITING);
  t.match(text, "enrol   waiting for the operator to approve this id and key fingerprint\n");
  t.match(text, `\n        sha256:${F}\n`);
  t.match(text, "key     in a file, NOT in a TPM: no /dev/tpmrm0 on this machine\n");
  t.match(text, "cert    none yet\n");
});

test("a device that knows nothing yet says so instead of showing zeros", async (t) => {
  const text = renderStatus(composeSnapshot(BLANK_PARTS));
  t.match(text, "device  not known yet\nkey     none yet\ncert    none yet\n");
  t.match(text, "audit   not known: the warden does not answer\n");
  t.match(text, "trouble protocol.closed: the warden does not answer: no warden at its socket\n");
});

test("a lost tunnel shows why and when it is tried again; an expired certificate shouts", async (t) => {
  const { certificate } = CONNECTED;
  if (certificate === undefined) throw t.fail("the snapshot has a certificate");
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

test("a guest reads that something is withheld, not that it is missing", async (t) => {
  t.match(renderStatus(snapshotForGuest(CONNECTED)), "hub (withheld), peer (withheld)\n");
});

/** Every text of the snapshot at its worst, and every optional line shown. */
function hostileSnapshot(text: string, troubles: string[]): Snapshot {
  const { device, key, certificate, tunnel } = CONNECTED;
  const lastFault = { code: "tunnel.refused", message: text } as const;
  return {
    ...CONNECTED,
    program: text,
    ...(device && { device: { ...device, model: text } }),
    ...(key && { key: { ...key, note: text } }),
    ...(certificate && { certificate: { ...certificate, serial: text, issuer: text } }),
    enrolment: { state: "retrying", lastFault },
    tunnel: { ...tunnel, state: "waiting", hub: text, peer: text, tls: text, cipher: text, group: text, lastFault },
    troubles,
  };
}

test("[CON-1] whatever the snapshot holds: printable ASCII, one screen, under 2,048 bytes with CR LF", async () => {
  const text = fc.oneof(fc.string({ unit: "binary", maxLength: 256 }), fc.constant("x".repeat(256)));
  fc.assert(
    fc.property(text, fc.array(text, { maxLength: 32 }), (text, troubles) => {
      const screen = renderStatus(hostileSnapshot(text, troubles));
      const lines = screen.trimEnd().split("\n");
      const onePage = lines.length <= 22 && lines.every((line) => line.length <= 79);
      return onePage && screen.length + lines.length < 2048 && /^[\x20-\x7e\n]*$/u.test(screen);
    }),
    { numRuns: 100 },
  );
});

test("troubles that do not fit are counted", async (t) => {
  const text = renderStatus({ ...CONNECTED, troubles: Array.from({ length: 32 }, (_, n) => `audit.full: number ${n}`) });
  t.match(text, "trouble audit.full: number 0\n");
  t.match(text, /        and 2\d more: see status --json\n$/u);
});
