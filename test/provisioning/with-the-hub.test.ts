// The device's side of enrolment against the reference hub.
import { verify, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import * as v from "valibot";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { linuxClock } from "../../hal/linux/index.ts";
import type { Hub } from "../../hub/hub.ts";
import { deviceIdentitySchema } from "../../hal/format/identity.ts";
import { HUB_TIME_BYTES_MAX, HUB_TIME_PATH, hubTimeResponseSchema, hubTimeSignedText } from "../../ota/format/time.ts";
import {
  askHubTime,
  checkStored,
  createCertificateReceipts,
  createCertificateStore,
  createEstEnroller,
  createRenewal,
  type EnrolmentPorts,
  type HubServer,
  type EnrolmentProgress,
  signRequest,
  startEnrolment,
} from "../../provisioning/index.ts";
import { decodeVerifier, ed25519KeyObject, encodeVerifier } from "../../warden/audit/format/index.ts";
import { fakeFiles } from "../lab/fakes/files.ts";
import { labAuditKey, labHub } from "../lab/worlds/hub.ts";
import { memoryKey } from "../lab/fakes/keys.ts";

const IDENTITY = v.parse(deviceIdentitySchema, {
  id: "gw-77",
  source: "serial",
  boardSerial: "SN-77",
  macs: ["00:24:be:80:4f:f1"],
  model: "ACME 7",
});

test("[ID-7] [ID-8] [ID-9] the device and the hub agree: enrolment after approval, renewal, and enrolment again", async (t) => {
  const { hub, state } = await labHub(t, { certificateLifeMs: 60_000, certificateLifeMsMin: 0 });
  const { anchors } = hub;
  const key = memoryKey();
  const files = fakeFiles();
  const store = createCertificateStore(files);
  const enroller = createEstEnroller({ hub: estServer(hub) });
  const request = { auditKey: encodeVerifier(labAuditKey(IDENTITY.id).verifier), enterpriseNumber: 32473 };
  const clock = linuxClock();
  const progress: EnrolmentProgress[] = [];
  const ports: EnrolmentPorts = {
    enroller,
    identity: IDENTITY,
    request,
    settleKey: async () => key,
    files,
    store,
    receipts: createCertificateReceipts(files),
    authority: anchors.authority,
    clock,
    clockTrusted: () => true,
    random: () => 0,
    report: (one) => {
      progress.push(one);
      if (one.kind === "waiting" && one.fault.code === "enrol.pending") void hub.approve(IDENTITY.id, key.fingerprint);
    },
  };
  const enrolled = await startEnrolment(ports, new AbortController().signal).done;
  t.same(
    progress.map((one) => one.kind),
    ["key-ready", "requested", "waiting", "certificate-ready"],
  );
  if (enrolled === undefined) throw new Fault("assert.broken", "not enrolled");
  t.match(new X509Certificate(enrolled.certificate.pem).subjectAltName, "urn:dev:mac:0024befffe804ff1");

  const expected = { deviceId: IDENTITY.id, publicKey: key.publicKey, authority: anchors.authority };
  // 92 % of the lifetime, at the device and in what the hub remembers
  const database = new DatabaseSync(join(state, "hub.db"));
  database.exec("UPDATE certificates SET issuedAt = issuedAt - 55000");
  database.close();
  const later = { ...clock, nowMs: () => Date.now() + 55_000 };
  const renewal = createRenewal(enrolled.certificate, {
    store,
    receipts: createCertificateReceipts(files),
    clock: later,
    random: () => 0,
    expected,
    clockTrusted: () => true,
    clockSure: () => true,
    clockContradicted: () => false,
    renew: async (current) => enroller.renew(await signRequest(IDENTITY, key, request), current),
    tlsKey: () => key.tlsKey(),
  });
  await renewal.begin();
  const need = await renewal.tick();
  t.equal(need.need, "connect-with-next", renewal.lastFault()?.message ?? "no fault");
  await renewal.proven();
  const { current = "" } = await store.load();
  t.not(checkStored(current, { ...expected, nowMs: Date.now() }).serial, enrolled.certificate.serial);

  const again = await startEnrolment({ ...ports, again: true }, new AbortController().signal).done;
  t.equal(again?.key.fingerprint, key.fingerprint, "the approval of id and fingerprint stands");
  t.not(again?.certificate.serial, enrolled.certificate.serial);
});

test("[ID-80] the hub gives way to one with another authority: both are pinned, and renewal there ends in a new certificate", async (t) => {
  const [old, next] = [await labHub(t), await labHub(t)];
  const key = memoryKey();
  const request = { auditKey: encodeVerifier(labAuditKey(IDENTITY.id).verifier), enterpriseNumber: undefined };
  for (const pins of [
    [next, old],
    [old, next],
  ]) {
    const authority = pins.map(({ hub }) => hub.anchors.authority).join("");
    const enrollerAt = ({ hub }: typeof old) => createEstEnroller({ hub: { ...estServer(hub), authority } });
    const [files, clock] = [fakeFiles(), linuxClock()];
    const [store, receipts] = [createCertificateStore(files), createCertificateReceipts(files)];
    const base = { identity: IDENTITY, request, settleKey: async () => key, files, store, receipts, authority, clock };
    const enrolledAt = async (at: typeof old, again: boolean) => {
      const report = (one: EnrolmentProgress): void => {
        if (one.kind === "waiting" && one.fault.code === "enrol.pending") void at.hub.approve(IDENTITY.id, key.fingerprint);
      };
      const ports = { ...base, enroller: enrollerAt(at), clockTrusted: () => true, random: () => 0, report, again };
      const enrolled = await startEnrolment(ports, new AbortController().signal).done;
      if (enrolled === undefined) throw new Fault("assert.broken", "not enrolled");
      return enrolled.certificate;
    };
    const first = await enrolledAt(old, false);
    const renewal = createRenewal(first, {
      store,
      receipts,
      clock: { ...clock, nowMs: () => first.notAfterMs - 60_000 },
      random: () => 0,
      expected: { deviceId: IDENTITY.id, publicKey: key.publicKey, authority },
      clockTrusted: () => true,
      clockSure: () => true,
      clockContradicted: () => false,
      renew: async (current) => enrollerAt(next).renew(await signRequest(IDENTITY, key, request), current),
      tlsKey: () => key.tlsKey(),
    });
    await renewal.begin();
    t.same(await renewal.tick(), { need: "enrol-again" }, renewal.lastFault()?.message ?? "no fault");
    const second = await enrolledAt(next, true);
    t.ok(new X509Certificate(second.pem).verify(new X509Certificate(next.hub.anchors.authority).publicKey));
    t.equal((await store.load()).current, second.pem);
  }
});

test("[ID-10] [ID-11] the hub signs the time for our nonce, both strictly and with dates waived", async (t) => {
  const { hub } = await labHub(t);
  const { anchors } = hub;
  const key = ed25519KeyObject(decodeVerifier(anchors.timeKey ?? "").publicKey);
  const nonce = "5a".repeat(32);
  const body = JSON.stringify({ deviceId: IDENTITY.id, nonce });
  for (const dates of ["strict", "waived"] as const) {
    const answer = await askHubTime(estServer(hub), dates, {
      path: HUB_TIME_PATH,
      body,
      answer: hubTimeResponseSchema,
      bytesMax: HUB_TIME_BYTES_MAX,
    });
    t.match(answer, { deviceId: IDENTITY.id, nonce });
    t.ok(verify(null, Buffer.from(hubTimeSignedText(answer)), key, Buffer.from(answer.signature, "base64")));
  }
});

function estServer({ anchors: { host, authority }, estPort }: Hub): HubServer {
  return { host, port: estPort, authority, connectTo: { host: "127.0.0.1", port: estPort } };
}
