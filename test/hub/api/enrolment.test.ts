// Enrolment at a real hub over real TLS: which device gets a certificate, waits, or is refused.
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "tap";
import {
  certificateIn,
  enrolled,
  enrolledBefore,
  labAuditKey,
  labDevice,
  labHub,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";
import { adopt, auditKeyFingerprint, deny, revoke } from "../../../hub/devices/index.ts";
import { encodeVerifier } from "../../../warden/audit/format/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";

test("[ID-7] a new id is pending (202, Retry-After) until id and fingerprint are approved together", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  const first = await simpleEnrol(hub, device.csr);
  t.equal(first.status, 202);
  t.equal(first.headers["retry-after"], "1");
  t.match(
    first.body.toString(),
    `sallyport-hub devices approve gw-1 ${device.fingerprint}`,
    "the answer says what the operator does next",
  );

  const other = await labDevice("gw-2");
  await t.rejects(hub.approve(device.id, other.fingerprint), { code: "hub.device-unknown" }, "right id, wrong key");
  await t.rejects(hub.approve(other.id, device.fingerprint), { code: "hub.device-unknown" }, "right key, wrong id");
  t.equal((await simpleEnrol(hub, device.csr)).status, 202);

  await hub.approve(device.id, device.fingerprint);
  const certificate = new X509Certificate(certificateIn(await simpleEnrol(hub, device.csr)));
  t.ok(certificate.checkPrivateKey(device.key));
});

test("[ID-7] another key with an approved id is pending, raises an alert, and never takes over the id", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  await enrolled(hub, device);
  const impostor = await labDevice("gw-1");
  t.equal((await simpleEnrol(hub, impostor.csr)).status, 202);
  t.equal((await hub.store.devices.approved(device.id))?.fingerprint, device.fingerprint);
  t.match(await hub.store.journal.tail(10, "alert"), [
    { event: "device.other-key", deviceId: "gw-1", detail: { fingerprint: impostor.fingerprint, approved: device.fingerprint } },
  ]);
  await t.rejects(hub.approve(impostor.id, impostor.fingerprint), {
    code: "hub.device-conflict",
    message: /stays in force; .*devices replace gw-1 sha256:/,
  });

  await revoke({ store: hub.store }, device.id, "test");
  await hub.approve(impostor.id, impostor.fingerprint);
  t.equal((await simpleEnrol(hub, impostor.csr)).status, 200, "after the operator's decision the new key has the id");
  const refused = await simpleEnrol(hub, device.csr);
  t.equal(refused.status, 403);
  t.match(refused.body.toString(), /^hub\.device-revoked: /);
});

test("[ID-7] a denied request is refused with a reason, and may still be approved", async (t) => {
  const { hub } = await labHub(t);
  const device = await labDevice("gw-1");
  await simpleEnrol(hub, device.csr);
  await deny({ store: hub.store }, device.id, undefined, "test");
  const refused = await simpleEnrol(hub, device.csr);
  t.equal(refused.status, 403);
  t.match(refused.body.toString(), /^hub\.device-denied: /);
  await hub.approve(device.id, device.fingerprint);
  t.equal((await simpleEnrol(hub, device.csr)).status, 200);
});

test("[ID-23] a repeated request with the approved key needs no second approval, and a lost answer costs no certificate", async (t) => {
  const { hub, state } = await labHub(t);
  const [early, halfway] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const first = await enrolledBefore(hub, state, early, { agoMs: 400_000, lifeMs: 1_000_000 });
  t.equal(certificateIn(await simpleEnrol(hub, early.csr)), first, "the same one while half of its validity is left");
  const before = await enrolledBefore(hub, state, halfway, { agoMs: 600_000, lifeMs: 1_000_000 });
  const second = certificateIn(await simpleEnrol(hub, halfway.csr));
  t.not(second, before, "a new one after that, under the same approval");
});

test("[ID-9] renewal presents the current certificate and keeps id, names and key", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolledBefore(hub, state, device, { agoMs: 600_000, lifeMs: 1_000_000 });
  const renewed = certificateIn(await simpleReenrol(hub, device.csr, cert, device.keyPem));
  t.not(renewed, cert);
  t.ok(new X509Certificate(renewed).checkPrivateKey(device.key));
  t.equal(
    certificateIn(await simpleReenrol(hub, device.csr, cert, device.keyPem)),
    renewed,
    "its answer was lost: the same again",
  );

  const other = await labDevice("gw-2", { key: device.key });
  t.match(await statusAndText(simpleReenrol(hub, other.csr, cert, device.keyPem)), [403, /the certificate is for "gw-1"/]);
  const renamed = await labDevice("gw-1", { key: device.key, audit: device.audit, uris: ["urn:dev:mac:02005efffe10ffff"] });
  t.match(await statusAndText(simpleReenrol(hub, renamed.csr, cert, device.keyPem)), [
    403,
    /differs from the approved one in: names/,
  ]);
});

test("[ID-24] a device gets one certificate in a tenth of its life, however it asks; the hub says when, and records it", async (t) => {
  const { hub, state } = await labHub(t, { certificateLifeMs: 4 * 3_600_000 });
  const device = await labDevice("gw-1");
  let cert = await enrolled(hub, device);
  const refused = await simpleReenrol(hub, device.csr, cert, device.keyPem);
  t.equal(refused.status, 429);
  const seconds = Number(refused.headers["retry-after"]);
  t.ok(seconds > 1380 && seconds <= 1440, `a tenth of 4 h, got ${seconds} s`);
  for (let asked = 0; asked < 70; asked += 1) {
    const answer = await simpleReenrol(hub, device.csr, cert, device.keyPem);
    if (answer.status === 200) cert = certificateIn(answer);
    await simpleEnrol(hub, device.csr);
  }
  t.equal(await hub.store.certificates.valid(device.id, Date.now()), 1, "seen before: 64 in seconds, and 503 from then on");
  t.match(
    (await hub.store.journal.tail(10, "warning")).filter(({ event }) => event === "enrolment.paced"),
    [{ deviceId: "gw-1", detail: { fingerprint: device.fingerprint } }],
  );
  const neighbour = await labDevice("gw-2");
  const other = await enrolledBefore(hub, state, neighbour, { agoMs: 600_000, lifeMs: 1_000_000 });
  t.equal((await simpleReenrol(hub, neighbour.csr, other, neighbour.keyPem)).status, 200, "another device does not wait");
});

test("[ID-9] renewal without a certificate, with a stranger's, or with a revoked one is 401", async (t) => {
  const { hub } = await labHub(t);
  const stranger = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const foreign = await enrolled(stranger.hub, device);
  const { headers } = await simpleReenrol(hub, device.csr, foreign, device.keyPem);
  t.match(headers, { "www-authenticate": /^Certificate realm=/ }, "[ID-32] and says what it wants");
  t.match(await statusAndText(simpleReenrol(hub, device.csr, foreign, device.keyPem)), [401, /not from this hub's authority/]);
  await revoke({ store: hub.store }, device.id, "test");
  t.match(await statusAndText(simpleReenrol(hub, device.csr, cert, device.keyPem)), [401, /revoked/]);
  t.match(await hub.store.journal.tail(10, "warning"), [{ event: "enrolment.refused" }, { event: "enrolment.refused" }]);
});

test("[AUD-7] [AUD-24] the approved audit key counts; another one raises an alert and waits for the operator", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolledBefore(hub, state, device, { agoMs: 600_000, lifeMs: 1_000_000 });
  const approved = (await hub.store.devices.approved(device.id))?.auditKey;
  const changed = await labDevice("gw-1", { key: device.key, audit: labAuditKey("gw-1") });
  t.equal((await simpleReenrol(hub, changed.csr, cert, device.keyPem)).status, 200, "its certificate does not depend on the log");
  t.equal((await hub.store.devices.approved(device.id))?.auditKey, approved);
  t.match(await hub.store.journal.tail(10, "alert"), [{ event: "device.request-changed", detail: { changed: "audit key" } }]);
  const fingerprint = auditKeyFingerprint(encodeVerifier(changed.audit.verifier));
  const shown = await hub.store.devices.approved(device.id);
  if (shown === undefined) return void t.fail("it is approved");
  const decide = (named: typeof fingerprint) => adopt({ store: hub.store }, shown, "test", named);
  await t.rejects(decide(undefined), { code: "hub.device-conflict", message: /--audit-key FINGERPRINT/u });
  await t.rejects(decide(auditKeyFingerprint(approved)), { code: "hub.device-conflict", message: /its new audit key is/u });
  t.equal((await hub.store.devices.approved(device.id))?.auditKey, approved);
  await decide(fingerprint);
  t.not((await hub.store.devices.approved(device.id))?.auditKey, approved);
});

test("[ID-26] devices approve --changed shows old and new values and asks for the new audit key's fingerprint", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolled(hub, device);
  const changed = await labDevice("gw-1", { key: device.key, audit: labAuditKey("gw-1"), serialNumber: "S-2" });
  t.equal((await simpleReenrol(hub, changed.csr, cert, device.keyPem)).status, 403);
  const [old, fresh] = [device, changed].map(({ audit }) => encodeVerifier(audit.verifier));
  const [oldKey = "", newKey = ""] = [auditKeyFingerprint(old), auditKeyFingerprint(fresh)];
  t.ok((await hubCommand(state, "devices", "list")).out.join().includes(`audit    ${oldKey}`), "listed to compare");

  const approve = (...more: readonly string[]) =>
    hubCommand(state, "devices", "approve", device.id, device.fingerprint, "--changed", ...more);
  const shown = await approve();
  t.equal(shown.code, 1);
  const text = shown.err.join("\n");
  for (const line of [
    /board {4}old {3}.*\n +new {3}S-2/u,
    /names {4}same/u,
    /audit {4}old {3}sha256:[0-9a-f]{64}, id [0-9a-f]{8}/u,
  ])
    t.match(text, line);
  t.ok(text.includes(oldKey) && text.includes(newKey), "both audit keys");
  t.match(text, /hub\.device-conflict: .*compare it with the device's console and name it: --audit-key FINGERPRINT/u);
  t.match(await approve("--audit-key", oldKey), { code: 1, err: [/board/u, /its new audit key is sha256:/u] });
  t.match(await approve("--audit-key", "no fingerprint"), { code: 2 });
  t.match(await approve("--audit-key", newKey, "--json"), {
    code: 0,
    data: { serialNumber: "S-2", auditKeyFingerprint: newKey },
  });
});

test("[ID-26] devices approve --audit-key refuses a request with another audit key than the console shows", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  t.equal((await simpleEnrol(hub, device.csr)).status, 202);
  const key = auditKeyFingerprint(encodeVerifier(device.audit.verifier)) ?? "";
  const approve = (named: string) => hubCommand(state, "devices", "approve", device.id, device.fingerprint, "--audit-key", named);
  t.match(await approve(`sha256:${"00".repeat(32)}`), { code: 1, err: [/hub\.device-conflict: .*its audit key is sha256:/u] });
  t.equal((await approve(key)).code, 0);
});

test("requests for one id are bounded, so that nobody can fill the store with them", async (t) => {
  const { hub } = await labHub(t);
  const statuses: number[] = [];
  for (let index = 0; index < 9; index++) statuses.push((await simpleEnrol(hub, (await labDevice("gw-1")).csr)).status);
  t.same(new Set(statuses), new Set([202]), "and earlier requests lock nobody out");
  t.equal((await hub.store.devices.list(100)).length, 8);
});

test("a request with names or an audit key that do not belong to the device is refused", async (t) => {
  const { hub } = await labHub(t);
  const asked = async (device: Promise<{ readonly csr: Uint8Array }>) => statusAndText(simpleEnrol(hub, (await device).csr));
  t.match(await asked(labDevice("gw-1", { uris: ["https://hub.example/"] })), [400, /expected only urn:dev: names/]);
  t.match(await asked(labDevice("gw-1", { audit: labAuditKey("gw-2") })), [400, /expected "sallyport\/1\/gw-1"/]);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  await t.rejects(labDevice("gw-1", { key: privateKey }), { code: "csr.invalid" });
});

async function statusAndText(answer: ReturnType<typeof simpleEnrol>): Promise<readonly [number, string]> {
  const { status, body } = await answer;
  return [status, body.toString()];
}

test("[TUN-72] a certificate that begins later than now, from a clock that was ahead, is neither repeated nor counted", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const day = 86_400_000;
  const future = await enrolledBefore(hub, state, device, { agoMs: -60 * day, lifeMs: 90 * day });
  t.equal(await hub.store.certificates.valid(device.id, Date.now()), 0);
  const { status } = await simpleReenrol(hub, device.csr, future, device.keyPem);
  t.equal(status, 401, "it proves nothing yet");
  const next = certificateIn(await simpleEnrol(hub, device.csr));
  t.ok(new X509Certificate(next).validFromDate.getTime() <= Date.now());
  t.equal(certificateIn(await simpleEnrol(hub, device.csr)), next, "that one is repeated");
  t.equal((await simpleReenrol(hub, device.csr, next, device.keyPem)).status, 429, "and has its pace");
});
