// What people read of the key and its TPM, on status, console and `identity show`. [ID-73] [ID-74]
import fc from "fast-check";
import { test } from "tap";
import * as v from "valibot";
import { statusForGuest } from "../../../agent/operations/redact.ts";
import { type DeviceStatus, type IdentityView, identityViewSchema } from "../../../agent/status/format.ts";
import { identityViewOf, isIdentitySound, renderIdentity, renderStatus } from "../../../agent/status/index.ts";
import { deviceId } from "../../lab/worlds/operations.ts";
import { CONNECTED, IDENTITY } from "../../lab/worlds/device-status.ts";

const F = `sha256:${"5e".repeat(32)}`;
const SRK = `000b${"51".repeat(32)}`;
const EK = `000b${"e4".repeat(32)}`;

const MISSING =
  'TPM missing: "gw-0042" was born with its key in a TPM, and there is none at "device:/dev/tpmrm0"; the doors are shut';

/** The TPM of the device was pulled out. */
const WITHOUT_TPM: DeviceStatus = {
  ...CONNECTED,
  life: "blank",
  key: undefined,
  birth: { protection: "tpm", fingerprint: F },
  certificate: undefined,
  enrolment: { state: "retrying", lastFault: { code: "key.tpm-missing", message: "TPM missing: by the agent" } },
  lockdown: { at: "confirmed", counter: 8, held: "key.tpm-missing" },
  troubles: [`key.tpm-missing: ${MISSING}`],
};

test("[ID-74] the identity of a healthy device, as a whole", async (t) => {
  t.equal(
    renderIdentity(IDENTITY),
    `device  gw-0042 (board serial), Simulated Gateway 100, board serial SN-0042-A
key     in the TPM
        ${F}
birth   as gw-0042 (board serial), key in the TPM
        with the key above
tpm     owned by this device, clear forbidden, passwords escrowed
srk     ${SRK}
ek      ${EK}
cert    valid until 2027-02-20 03:00 UTC (in 89 d 22 h), renewed in 71 d 22 h
        serial 4f1d2c3b4a59687766554433221100ff, issuer CN=Sallyport Device CA
audit   the warden signs the trail with this key
        sha256:${"7a".repeat(32)}
`,
  );
  t.ok(isIdentitySound(IDENTITY));
});

test("[ID-73] a device without its TPM says so first, keeps showing what it was born with, and is not sound", async (t) => {
  const { birth } = IDENTITY;
  const identity = { id: deviceId("gw-0042"), source: "serial" } as const;
  const view = identityViewOf(WITHOUT_TPM, { value: { identity: { ...identity, macs: [] }, birth, auditKey: "x" } });
  t.ok(v.is(identityViewSchema, view));
  t.same(view.keyFault, { code: "key.tpm-missing", message: MISSING }, "by the warden's words, not the agent's");
  const text = renderIdentity(view);
  t.match(text, /^key     NOT USABLE: TPM missing\n        key\.tpm-missing: TPM missing: "gw-0042" was born/mu);
  t.match(text, `birth   as gw-0042 (board serial), key in the TPM\n        ${F}\n`);
  t.match(text, "doors   SHUT: TPM missing\n");
  t.notOk(isIdentitySound(view));
  const screen = renderStatus(WITHOUT_TPM);
  t.match(screen, `key     NOT USABLE: TPM missing, born in the TPM\n        ${F}\n`);
  t.match(screen, "policy  SHUT: TPM missing; number 8 comes back with the TPM\n");
  t.match(screen, "cert    not read, for want of the key\n", "what is not known is not called absent");
  t.match(screen, /^trouble key\.tpm-missing: TPM missing:/mu);
});

test("[ID-73] whoever stands at the cable reads which of the three it is, and neither which chip nor what else", async (t) => {
  for (const [code, words] of [
    ["key.tpm-missing", "TPM missing"],
    ["key.not-this-board", "not this board"],
    ["key.tpm-cleared", "TPM cleared"],
  ] as const) {
    const { tpm } = IDENTITY;
    const guest = statusForGuest({
      ...WITHOUT_TPM,
      ...(tpm && { tpm }),
      enrolment: { state: "retrying", lastFault: { code, message: "at 10.1.2.3" } },
      lockdown: { at: "base", held: code },
      troubles: [`${code}: ${words}: at 10.1.2.3`],
    });
    t.notMatch(JSON.stringify(guest), /10\.1\.2\.3|000b/u);
    t.same(guest.troubles, [`${code}: ${words} (withheld)`]);
    const screen = renderStatus(guest);
    t.match(screen, `key     NOT USABLE: ${words}, born in the TPM\n`);
    t.match(screen, `policy  SHUT: ${words}`);
    t.notMatch(screen, /^tpm /mu);
  }
});

test("[ID-74] without the warden the view says what is not known, and still shows the key and the certificate", async (t) => {
  const { audit: _audit, ...away } = CONNECTED;
  const view = identityViewOf(away, { fault: { code: "protocol.closed", message: "no warden at its socket" } });
  const text = renderIdentity(view);
  t.match(text, `key     in the TPM\n        ${F}\n`);
  t.match(text, "serial 4f1d2c3b4a59687766554433221100ff");
  t.match(text, "unknown birth record, TPM and audit key: protocol.closed: no warden at its\n        socket\n");
  t.notMatch(text, /not recorded|none yet/u, "what is not known is not called absent");
  t.notOk(isIdentitySound(view));
});

test("[ID-74] a device that was never born, a sealed key, a file key, another chip, and a chip of others have their words", async (t) => {
  const shown = (change: Partial<IdentityView>): string => renderIdentity({ ...IDENTITY, ...change });
  const blank = renderIdentity({ v: 1, at: IDENTITY.at, unknown: [] });
  t.equal(blank, "device  not known yet\nkey     none yet\nbirth   not recorded yet\ncert    none yet\n");
  const kept = (protection: "sealed" | "file", note: string): string => shown({ key: { protection, fingerprint: F, note } });
  t.match(kept("sealed", "its provider is old"), "key     sealed to the TPM, in memory while used: its provider is old\n");
  t.match(kept("file", "no TPM"), "key     in a file, NOT in a TPM: no TPM\n");
  const { tpm } = IDENTITY;
  if (tpm === undefined) throw t.fail("the view has a TPM");
  const other = shown({
    tpm: {
      ...tpm,
      endorsement: `000b${"ff".repeat(32)}`,
      ownership: "others",
      clear: "possible",
      lockedOut: true,
      why: "a password is set",
      failures: 2,
    },
  });
  t.match(other, "tpm     owned by others, clear POSSIBLE, LOCKED OUT (the key is not)\n        a password is set\n");
  t.match(other, "        2 wrong passwords of others\n");
  t.match(other, `ek      ${EK}\n        ANOTHER one now:\n        000b${"ff".repeat(32)}\n`);
  t.match(shown({ tpm: { ...tpm, present: false } }), "tpm     none\n");
  t.match(shown({ tpm: { ...tpm, ownership: "unknown", clear: "unknown" } }), "tpm     owner not known\n");
  t.match(shown({ tpm: { ...tpm, escrowed: false } }), "passwords NOT escrowed\n");
});

test("[CON-11] every identity is printable ASCII in lines of 79 columns", async () => {
  const text = fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.constant("x".repeat(200)));
  fc.assert(
    fc.property(text, (text) => {
      const { device, key, certificate } = IDENTITY;
      const screen = renderIdentity({
        ...IDENTITY,
        ...(device && { device: { ...device, model: text, boardSerial: text.slice(0, 64) } }),
        ...(key && { key: { ...key, note: text } }),
        ...(certificate && { certificate: { ...certificate, serial: text, issuer: text } }),
        keyFault: { code: "key.mismatch", message: text },
        enrolment: { state: "denied", lastFault: { code: "enrol.denied", message: text } },
        held: "key.not-this-board",
        unknown: [text],
      });
      return /^[\x20-\x7e\n]*$/u.test(screen) && screen.split("\n").every((line) => line.length <= 79);
    }),
    { numRuns: 100 },
  );
});
