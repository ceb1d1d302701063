import { X509Certificate } from "node:crypto";
import { test, type Test } from "tap";
import { checkIssued, createCertificateStore, createRenewal, type Renewal } from "../../../provisioning/certificate/index.ts";
import { createEstEnroller } from "../../../provisioning/enrollers/index.ts";
import { buildRequest, encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { type EstServer, serveHttps } from "../../lab/counterparts/est-server.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { fakeFiles, type FakeFiles } from "../../lab/fakes/files.ts";
import { memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { type Credential, issueFor, makePki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const DAY_MS = 86_400_000;

interface Bench {
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  readonly server: EstServer;
  /** The authority's next answer: a certificate by `issuer`, or a status. */
  readonly hub: { answer: number; issuer: Credential };
  readonly trust: { clock: boolean };
  readonly open: () => Promise<Renewal>;
}

/** A device with a certificate of 90 days, whose authority is a real EST server. */
async function createBench(t: Test): Promise<Bench> {
  const directory = t.testdir();
  const pki = makePki(directory);
  const key = memoryKey();
  const hub = { answer: 200, issuer: pki.authority };
  const device = { commonName: "", names: [], usages: ["clientAuth"] };
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (hub.answer !== 200) return void response.writeHead(hub.answer, { "retry-after": "60" }).end();
    const cert = issueFor(directory, "issued", hub.issuer, Buffer.from(asked.body, "base64"), device);
    response.end(Buffer.from(encodeCertsOnly([new X509Certificate(cert).raw])).toString("base64"));
  });
  t.teardown(() => server.close());
  const request = await buildRequest(
    { commonName: "gw-1", serialNumber: undefined, uris: [], publicKey: key.publicKey, auditKey: undefined },
    key.sign,
  );
  const files = fakeFiles();
  const clock = fakeClock(Date.now());
  const store = createCertificateStore(files);
  const expected = { deviceId: "gw-1", publicKey: key.publicKey, authority: pki.authority.cert };
  const first = new X509Certificate(issueFor(directory, "first", pki.authority, request, device)).raw;
  const current = checkIssued([first], { ...expected, nowMs: clock.nowMs() });
  await store.putCurrent(current.pem);
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  const trust = { clock: true };
  return {
    files,
    clock,
    server,
    hub,
    trust,
    open: async () =>
      createRenewal(current, {
        store,
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
  t.same([...files.contents.keys()].sort(), ["certificate-next.pem", "certificate.pem"]);

  const again = await open();
  t.match(await again.begin(), need, "after a reboot the next certificate must still be proven");
  t.same(await again.proven(), { need: "nothing" });
  t.equal(again.state().at, "fresh");
  t.same([...files.contents.keys()], ["certificate.pem"]);
});

test("[ID-9] a next certificate that the hub rejects is discarded, and the old one stays", { skip }, async (t) => {
  const { clock, files, open } = await createBench(t);
  const before = files.contents.get("certificate.pem");
  const renewal = await open();
  await clock.set(clock.nowMs() + 73 * DAY_MS);
  t.equal((await renewal.tick()).need, "connect-with-next");
  t.same(await renewal.rejected(), { need: "nothing" });
  t.equal(renewal.state().at, "due");
  t.same([...files.contents.entries()], [["certificate.pem", before]]);
});

test(
  "[ID-8] [ID-9] a renewal that is refused, postponed, forged or cannot be stored changes nothing on disk and is repeated",
  { skip },
  async (t) => {
    const { clock, files, hub, server, open } = await createBench(t);
    const before = [...files.contents.entries()];
    const renewal = await open();
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
  await clock.set(0);
  trust.clock = false;
  t.same(await renewal.tick(), { need: "nothing" });
  await clock.set(Date.now() + 400 * DAY_MS);
  t.same(await renewal.tick(), { need: "nothing" });
  t.equal(server.asked.length, 0);
  trust.clock = true;
  await clock.set(Date.now() + 73 * DAY_MS);
  files.faults.failAt(1, "file.no-space");
  t.same(await renewal.tick(), { need: "nothing" });
  t.equal(renewal.lastFault()?.code, "file.no-space");
  await clock.set(Date.now() + 74 * DAY_MS);
  t.equal((await renewal.tick()).need, "connect-with-next");
});

test("[ID-23] an expired certificate leads to enrolment again", { skip }, async (t) => {
  const { clock, open } = await createBench(t);
  const renewal = await open();
  await clock.set(clock.nowMs() + 91 * DAY_MS);
  t.same(await renewal.tick(), { need: "enrol-again" });
});
