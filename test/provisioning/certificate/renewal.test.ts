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
  readonly hub: { answer: number; issuer: Credential; repeats: boolean };
  readonly trust: { clock: boolean; sure: boolean };
  readonly open: () => Promise<Renewal>;
}

/**
 * A device that has just received a certificate of 90 days, whose authority is a real EST server.
 */
async function createBench(t: Test, { backdatedMs, lifeMs } = { backdatedMs: HOUR_MS, lifeMs: 90 * DAY_MS }): Promise<Bench> {
  const directory = t.testdir();
  const pki = makePki(directory);
  const key = memoryKey();
  const hub = { answer: 200, issuer: pki.authority, repeats: false };
  const clock = fakeClock(Date.now());
  const device = (): LeafOptions => ({
    commonName: "",
    names: [],
    usages: ["clientAuth"],
    notBefore: new Date(clock.nowMs() - backdatedMs),
    notAfter: new Date(clock.nowMs() + lifeMs),
  });
  let last = Buffer.alloc(0);
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (hub.answer !== 200 || asked.path.endsWith("/cacerts"))
      return void response.writeHead(hub.answer === 200 ? 404 : hub.answer, { "retry-after": "60" }).end();
    const issue = () => issueFor(directory, "issued", hub.issuer, Buffer.from(asked.body, "base64"), device());
    last = hub.repeats ? last : new X509Certificate(issue()).raw;
    response.end(Buffer.from(encodeCertsOnly([last])).toString("base64"));
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
  last = first;
  const current = checkIssued([first], { ...expected, nowMs: clock.nowMs() });
  await store.putCurrent(current.pem);
  const receipts = createCertificateReceipts(files);
  await receipts.record(current.pem, clock.nowMs());
  const enroller = createEstEnroller({ hub: server.hub(pki.authority) });
  const trust = { clock: true, sure: false, contradicted: false };
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
        clockSure: () => trust.sure,
        clockContradicted: () => trust.contradicted,
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
    t.equal(server.asked.filter(({ path }) => path.endsWith("/simplereenroll")).length, cases.length);
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

for (const [life, lifeMs] of [
  ["1 h", HOUR_MS],
  ["4 h", 4 * HOUR_MS],
  ["10 years", 10 * 365 * DAY_MS],
] as const)
  test(
    `[ID-24] a life of ${life}: no two certificates within a tenth of it, with restarts and lost records`,
    { skip },
    async (t) => {
      const { clock, files, hub, open } = await createBench(t, { backdatedMs: DAY_MS, lifeMs });
      let renewal = await open();
      await renewal.begin();
      const startMs = clock.nowMs();
      const gotAt: number[] = [];
      for (let step = 0; step < 300; step += 1) {
        await clock.set(Math.round(startMs + (step * lifeMs) / 100));
        hub.repeats = step >= 85 && step < 99;
        const { need } = await renewal.tick();
        if (need === "connect-with-next") gotAt.push(step);
        if (need === "connect-with-next") await (step < 200 ? renewal.rejected() : renewal.proven());
        if (step % 7 === 0 && step > 100) files.contents.set("certificate-receipts.json", Buffer.from("{"));
        if (step % 3 !== 0) continue;
        renewal = await open();
        await renewal.begin();
      }
      t.ok(gotAt.length > 2, "it got some");
      const gaps = gotAt.slice(1).map((at, index) => at - (gotAt[index] ?? 0));
      const tooSoon = gotAt.slice(1).filter((at, index) => (gaps[index] ?? 0) < (at % 100 >= 95 ? 5 : 10));
      t.same(tooSoon, [], `received at ${gotAt.join(", ")} hundredths of the life`);
    },
  );

test("[ID-24] an authority that renews nothing is asked again a tenth of the life later", { skip }, async (t) => {
  const { clock, hub, server, open } = await createBench(t);
  const renewal = await open();
  await renewal.begin();
  hub.repeats = true;
  const startMs = clock.nowMs();
  const askedAt: number[] = [];
  for (let day = 70; day < 90; day += 1) {
    await clock.set(startMs + day * DAY_MS);
    const before = server.asked.length;
    t.same(await renewal.tick(), { need: "nothing" });
    if (server.asked.length > before) askedAt.push(day);
  }
  t.same(askedAt, [72, 81]);
  t.match(renewal.lastFault(), { code: "enrol.mismatch", message: /the one that is to be renewed/u });
});

test("[ID-24] neither a clock that steps nor a damaged next certificate brings another one early", { skip }, async (t) => {
  const { clock, files, server, open } = await createBench(t);
  let renewal = await open();
  await renewal.begin();
  const startMs = clock.nowMs();
  for (const atMs of [startMs - 400 * DAY_MS, startMs, startMs + 60 * DAY_MS, startMs + DAY_MS]) {
    await clock.set(atMs);
    t.same(await renewal.tick(), { need: atMs < startMs ? "time" : "nothing" });
  }
  t.equal(server.asked.length, 0);
  await clock.set(startMs + 79 * DAY_MS);
  t.equal((await renewal.tick()).need, "connect-with-next");
  const next = [...files.contents.keys()].find((name) => name.includes("next"));
  t.ok(next);
  files.contents.set(next ?? "", Buffer.from("damaged"));
  const receipts = files.contents.get("certificate-receipts.json");
  for (let day = 79; day < 86; day += 1) {
    await clock.set(startMs + day * DAY_MS);
    renewal = await open();
    await renewal.begin();
    t.same(await renewal.tick(), { need: "nothing" }, `day ${day}`);
    t.same(files.contents.get("certificate-receipts.json"), receipts, "what was received stays recorded");
  }
  t.equal(server.asked.length, 1, "the damaged one counts as received");
});

test("[ID-23] an expired certificate leads to enrolment again", { skip }, async (t) => {
  const { clock, open } = await createBench(t);
  const renewal = await open();
  await renewal.begin();
  await clock.set(clock.nowMs() + 91 * DAY_MS);
  t.same(await renewal.tick(), { need: "enrol-again" });
});

test(
  "[TUN-72] a certificate from the future: with a clock that the hub has set the device enrols again, otherwise it asks for the time",
  { skip },
  async (t) => {
    const { clock, server, trust, open } = await createBench(t);
    const renewal = await open();
    await renewal.begin();
    await clock.set(clock.nowMs() - 60 * DAY_MS);
    t.same(await renewal.tick(), { need: "time" });
    trust.clock = false;
    t.same(await renewal.tick(), { need: "nothing" }, "a clock that is not set decides nothing");
    t.same(await renewal.refused(), { need: "nothing" });
    trust.clock = true;
    trust.sure = true;
    t.same(await renewal.tick(), { need: "enrol-again" });
    t.equal(server.asked.length, 0, "the hub would refuse the certificate for renewal too");
  },
);

test("[TUN-71] a device that is refused asks once in a tenth of the life, whatever the hub answers", { skip }, async (t) => {
  const { clock, server, hub, open } = await createBench(t);
  const renewal = await open();
  await renewal.begin();
  hub.answer = 503;
  t.same(await renewal.refused(), { need: "nothing" });
  t.equal(renewal.lastFault()?.code, "enrol.server-error");
  for (let n = 0; n < 50; n += 1) {
    t.same(await renewal.accepted(), { need: "nothing" });
    await renewal.refused();
  }
  t.equal(server.asked.length, 1);
  await clock.advance(10 * DAY_MS);
  hub.answer = 401;
  t.same(await renewal.refused(), { need: "enrol-again" });
  t.equal(server.asked.length, 2);
});
