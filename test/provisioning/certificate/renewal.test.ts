import { X509Certificate } from "node:crypto";
import { test, type Test } from "tap";
import {
  checkIssued,
  checkStored,
  createCertificateReceipts,
  createCertificateStore,
  createRenewal,
  type Renewal,
} from "../../../provisioning/certificate/index.ts";
import { createEstEnroller } from "../../../provisioning/enrollers/index.ts";
import { buildRequest, encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { type EstServer, serveHttps } from "../../lab/counterparts/est-server.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { fakeFiles, type FakeFiles } from "../../lab/fakes/files.ts";
import { memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type Credential, issueFor, type LeafOptions, makePki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

interface Bench {
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  readonly server: EstServer;
  /** The authority's next answer: a certificate by `issuer`, or a status. */
  readonly hub: { answer: number; issuer: Credential };
  readonly trust: { clock: boolean };
  readonly open: () => Promise<Renewal>;
}

/**
 * A device that has just received a certificate of 90 days, whose authority is a real EST server.
 */
async function createBench(t: Test, { backdatedMs, lifeMs } = { backdatedMs: HOUR_MS, lifeMs: 90 * DAY_MS }): Promise<Bench> {
  const directory = t.testdir();
  const pki = makePki(directory);
  const key = memoryKey();
  const hub = { answer: 200, issuer: pki.authority };
  const clock = fakeClock(Date.now());
  const device = (): LeafOptions => ({
    commonName: "",
    names: [],
    usages: ["clientAuth"],
    notBefore: new Date(clock.nowMs() - backdatedMs),
    notAfter: new Date(clock.nowMs() + lifeMs),
  });
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (hub.answer !== 200) return void response.writeHead(hub.answer, { "retry-after": "60" }).end();
    const cert = issueFor(directory, "issued", hub.issuer, Buffer.from(asked.body, "base64"), device());
    response.end(Buffer.from(encodeCertsOnly([new X509Certificate(cert).raw])).toString("base64"));
  });
  t.teardown(() => server.close());
  const request = await buildRequest(
    { commonName: "gw-1", serialNumber: undefined, uris: [], publicKey: key.publicKey, auditKey: undefined },
    key.sign,
  );
  const files = fakeFiles();
  const store = createCertificateStore(files);
  const expected = { deviceId: "gw-1", publicKey: key.publicKey, authority: pki.authority.cert };
  const first = new X509Certificate(issueFor(directory, "first", pki.authority, request, device())).raw;
  const current = checkIssued([first], { ...expected, nowMs: clock.nowMs() });
  await store.putCurrent(current.pem);
  const receipts = createCertificateReceipts(files);
  await receipts.record(current.pem, clock.nowMs());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  const trust = { clock: true };
  return {
    files,
    clock,
    server,
    hub,
    trust,
    open: async () =>
      createRenewal(checkStored((await store.load()).current ?? "", { ...expected, nowMs: undefined }), {
        store,
        receipts,
        clock,
        random: () => 0,
        expected,
        clockTrusted: () => trust.clock,
        renew: async (credential) => enroller.renew(request, credential),
        tlsKey: () => key.tlsKey(),
      }),
  };
}

test("[ID-9] a certificate is renewed with itself as credential, proven, and swapped in", { skip }, async (t) => {
  const { clock, server, files, open } = await createBench(t);
  const renewal = await open();
  t.same(await renewal.begin(), { need: "nothing" });
  await clock.set(clock.nowMs() + 71 * DAY_MS);
  t.same(await renewal.tick(), { need: "nothing" }, "not yet: 80 % are 72 days");
  await clock.set(clock.nowMs() + DAY_MS);
  const need = await renewal.tick();
  t.equal(need.need, "connect-with-next");
  t.match(server.asked, [{ path: "/.well-known/est/simplereenroll", client: "gw-1" }]);
  t.same([...files.contents.keys()].sort(), ["certificate-next.pem", "certificate-receipts.json", "certificate.pem"]);

  const again = await open();
  t.match(await again.begin(), need, "after a reboot the next certificate must still be proven");
  t.same(await again.proven(), { need: "nothing" });
  t.equal(again.state().at, "fresh");
  t.same([...files.contents.keys()].sort(), ["certificate-receipts.json", "certificate.pem"]);
});

test("[ID-9] a next certificate that the hub rejects is discarded, and the old one stays", { skip }, async (t) => {
  const { clock, files, open } = await createBench(t);
  const before = files.contents.get("certificate.pem");
  const renewal = await open();
  await renewal.begin();
  await clock.set(clock.nowMs() + 73 * DAY_MS);
  t.equal((await renewal.tick()).need, "connect-with-next");
  t.same(await renewal.rejected(), { need: "nothing" });
  t.equal(renewal.state().at, "due");
  t.same([...files.contents.keys()].sort(), ["certificate-receipts.json", "certificate.pem"]);
  t.same(files.contents.get("certificate.pem"), before);
});

test(
  "[ID-8] [ID-9] a renewal that is refused, postponed, forged or cannot be stored changes nothing on disk and is repeated",
  { skip },
  async (t) => {
    const { clock, files, hub, server, open } = await createBench(t);
    const before = [...files.contents.entries()];
    const renewal = await open();
    await renewal.begin();
    await clock.set(clock.nowMs() + 73 * DAY_MS);
    const attacker = makePki(t.testdir({})).attacker;
    const cases: readonly [string, () => void, string][] = [
      ["postponed", () => (hub.answer = 202), "enrol.pending"],
      ["broken", () => (hub.answer = 500), "enrol.server-error"],
      ["denied", () => (hub.answer = 403), "enrol.denied"],
      ["forged", () => Object.assign(hub, { answer: 200, issuer: attacker }), "enrol.mismatch"],
    ];
    for (const [says, arrange, code] of cases) {
      arrange();
      t.same(await renewal.tick(), { need: "nothing" }, says);
      t.equal(renewal.lastFault()?.code, code);
      t.equal(renewal.state().at, "due");
      t.same([...files.contents.entries()], before);
      await clock.set(clock.nowMs() + DAY_MS);
    }
    t.equal(server.asked.length, cases.length);
  },
);

test("[ID-9] a full disk postpones renewal; a wrong clock keeps it from deciding anything", { skip }, async (t) => {
  const { clock, files, trust, server, open } = await createBench(t);
  const renewal = await open();
  await renewal.begin();
  await clock.set(0);
  trust.clock = false;
  t.same(await renewal.tick(), { need: "nothing" });
  await clock.set(Date.now() + 400 * DAY_MS);
  t.same(await renewal.tick(), { need: "nothing" });
  t.equal(server.asked.length, 0);
  trust.clock = true;
  await clock.set(Date.now() + 73 * DAY_MS);
  files.faults.failAt(2, "file.no-space");
  t.same(await renewal.tick(), { need: "nothing" });
  t.equal(renewal.lastFault()?.code, "file.no-space");
  await clock.set(Date.now() + 74 * DAY_MS);
  t.equal((await renewal.tick()).need, "connect-with-next");
  t.equal(server.asked.length, 1, "the certificate that found no room is stored, and no other is asked for [ID-24]");
});

test(
  "[ID-24] a life of 4 h from an authority that backdates by a day is renewed once in its life, also by an agent that restarts",
  { skip },
  async (t) => {
    const { clock, files, server, open } = await createBench(t, { backdatedMs: DAY_MS, lifeMs: 4 * HOUR_MS });
    let renewal = await open();
    await renewal.begin();
    const askedAtMs: number[] = [];
    const startMs = clock.nowMs();
    for (let minute = 0; minute < 7 * 60; minute += 5) {
      await clock.set(startMs + minute * 60_000);
      const before = server.asked.length;
      if ((await renewal.tick()).need === "connect-with-next") await renewal.proven();
      if (server.asked.length > before) askedAtMs.push(clock.nowMs() - startMs);
      if (minute % 20 !== 0) continue;
      renewal = await open();
      await renewal.begin();
    }
    t.strictSame(
      askedAtMs.map((atMs) => Math.floor(atMs / HOUR_MS)),
      [3, 6],
    );
    for (const damage of [Buffer.from("{"), Buffer.from('{"v":2}'), undefined]) {
      if (damage === undefined) files.contents.delete("certificate-receipts.json");
      else files.contents.set("certificate-receipts.json", damage);
      renewal = await open();
      await renewal.begin();
      t.same(await renewal.tick(), { need: "nothing" }, "a lost record makes a device ask later, not at once");
    }
    t.equal(server.asked.length, 2);
  },
);

test("[ID-23] an expired certificate leads to enrolment again", { skip }, async (t) => {
  const { clock, open } = await createBench(t);
  const renewal = await open();
  await renewal.begin();
  await clock.set(clock.nowMs() + 91 * DAY_MS);
  t.same(await renewal.tick(), { need: "enrol-again" });
});
