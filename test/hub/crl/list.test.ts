// The list of revoked certificates, read by OpenSSL and by GnuTLS.
import { spawnSync } from "node:child_process";
import { sign, X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { crlPem, loadAuthority, pem, readAnchors } from "../../../hub/authority/index.ts";
import { createIssuer, makeAuthority } from "../../../hub/authority/issuer.ts";
import { maySignCrl } from "../../../hub/authority/crl.ts";
import { createCrlKeeper } from "../../../hub/crl/index.ts";
import { forget, replace, revoke } from "../../../hub/devices/index.ts";
import { initHub } from "../../../hub/index.ts";
import { openStore, type Store, type StoredCrl } from "../../../hub/store/index.ts";
import { der } from "../../../provisioning/x509/format/index.ts";
import { openssl, opensslWords } from "../../lab/counterparts/pki.ts";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { ask, certificateIn, enrolled, enrolledBefore, labDevice, labHub, simpleEnrol } from "../../lab/worlds/hub.ts";

const DAY_MS = 86_400_000;

/** What OpenSSL reads in a list. */
function shown(der: Uint8Array): string {
  return opensslWords(["crl", "-inform", "DER", "-noout", "-text"], der);
}

/** A hub's state with its store, without a hub that runs. */
async function restingHub(t: Test): Promise<{ readonly state: string; readonly store: Store }> {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "resting", hosts: ["localhost"] });
  const store = await openStore(join(state, "hub.db"));
  t.teardown(() => store.close());
  return { state, store };
}

/** The same authority with the keyUsage keyCertSign alone, signed again. */
function withoutCrlSign(certificatePem: string, keyPem: string): string {
  const raw = Buffer.from(new X509Certificate(certificatePem).raw);
  const at = raw.indexOf(Buffer.from("03020106", "hex")); // keyCertSign and cRLSign
  Buffer.from("03020204", "hex").copy(raw, at);
  const { content } = der.decode(raw, raw.byteLength, { code: "x509.invalid", what: "certificate" });
  const [toBeSigned, algorithm] = content instanceof Uint8Array ? [] : content;
  if (at < 0 || toBeSigned === undefined || algorithm === undefined) throw new Fault("x509.invalid", "not as expected");
  const signature = sign("sha256", der.encode(toBeSigned), { key: keyPem, dsaEncoding: "der" });
  return pem(der.encode(der.sequence(toBeSigned, algorithm, der.bitString(signature))));
}

/** A keeper whose clock the test moves. */
function keeperAt(state: string, store: Store) {
  const clock = { ms: Date.now() };
  const troubles: (Fault | undefined)[] = [];
  const keeper = createCrlKeeper({
    store,
    issuer: loadAuthority(state).issuer,
    nowMs: () => clock.ms,
    onTrouble: (fault) => void troubles.push(fault),
  });
  return { clock, troubles, current: () => keeper.current() };
}

test(
  "[ID-90] revoked and replaced certificates, also older ones that are still valid, are on a list that OpenSSL and GnuTLS verify",
  { skip: needs("openssl", "certtool") },
  async (t) => {
    const { hub, state } = await labHub(t);
    const first = await labDevice("gw-1", { protection: "tpm" });
    const older = await enrolledBefore(hub, state, first, { agoMs: 600_000, lifeMs: 1_000_000 });
    const newer = certificateIn(await simpleEnrol(hub, first.csr));
    t.not(newer, older);
    const second = await labDevice("gw-2", { protection: "tpm" });
    const replaced = await enrolled(hub, second);
    const board = await labDevice("gw-2", { protection: "tpm" });
    await simpleEnrol(hub, board.csr);
    const good = await enrolled(hub, await labDevice("gw-3"));
    const before = await ask(hub, "/crl");
    await revoke(hub, first.id, "operator");
    await replace(hub, second.id, board.fingerprint, "operator");
    const fresh = certificateIn(await simpleEnrol(hub, board.csr));

    const answer = await ask(hub, "/crl");
    t.equal(answer.status, 200);
    t.match(answer.headers, { "content-type": /^application\/pkix-crl/u, etag: /^"\d+"$/u, "cache-control": "max-age=60" });
    const words = shown(answer.body);
    for (const line of [
      /Version 2/u,
      /Signature Algorithm: ecdsa-with-SHA256/u,
      /Issuer: O ?= ?Sallyport, CN ?= ?lab hub/u,
      /X509v3 Authority Key Identifier/u,
      /X509v3 CRL Number/u,
      /X509v3 CRL Reason Code:\s+Superseded/u,
    ])
      t.match(words, line);
    t.equal(words.match(/Serial Number:/gu)?.length, 3, "both of gw-1, and the replaced one of gw-2");
    t.equal(words.match(/CRL Reason Code/gu)?.length, 1, "no reason is given for a plain revocation");
    t.match(shown(before.body), /No Revoked Certificates/u, "an empty list is a list");

    const directory = await temporaryDirectory(t);
    const file = (name: string, contents: string | Uint8Array): string => {
      writeFileSync(join(directory, name), contents);
      return join(directory, name);
    };
    const pem = (await ask(hub, "/crl.pem")).body;
    const list = file("crl.pem", pem);
    const authority = file("ca.pem", hub.anchors.authority);
    const verify = (cert: string): string =>
      opensslWords(["verify", "-x509_strict", "-CAfile", authority, "-CRLfile", list, "-crl_check", file("leaf.pem", cert)]);
    for (const cert of [older, newer, replaced]) t.match(verify(cert), /certificate revoked/u);
    for (const cert of [good, fresh]) t.match(verify(cert), /OK/u);
    t.match(opensslWords(["crl", "-in", list, "-CAfile", authority, "-noout"]), /verify OK/u);
    const gnutls = spawnSync("certtool", ["--verify-crl", "--load-ca-certificate", authority, "--infile", list], {
      encoding: "utf8",
    });
    t.match(gnutls.stdout, /Verification output: Verified/u);
    t.equal(Buffer.compare(openssl(["crl", "-in", list, "-outform", "DER"]), answer.body), 0, "PEM and DER are one list");

    const again = await ask(hub, "/crl");
    t.equal(again.headers["etag"], answer.headers["etag"], "without a revocation the list stays");
  },
);

test("[ID-91] the number never falls: not after a crash, with a clock that went back, or with an older store put back", async (t) => {
  const { state, store } = await restingHub(t);
  const { clock, current } = keeperAt(state, store);
  const first = await current();
  const other = keeperAt(state, store);
  t.equal((await other.current()).number, first.number, "another process finds it");
  await store.close();
  copyFileSync(join(state, "hub.db"), join(state, "backup.db"));

  const later = await openStore(join(state, "hub.db"));
  const second = keeperAt(state, later);
  second.clock.ms = clock.ms + 2 * DAY_MS;
  const reissued = await second.current();
  t.ok(reissued.number > first.number && reissued.thisUpdateMs > first.thisUpdateMs);
  second.clock.ms = clock.ms - 200 * DAY_MS;
  t.equal((await second.current().catch((error: unknown) => error)) instanceof Fault, false, "the last one is kept");
  second.clock.ms = clock.ms - DAY_MS / 2;
  const back = await second.current();
  t.equal(back.number, reissued.number + 1, "the clock was mended: another one at once");
  t.ok(back.thisUpdateMs <= second.clock.ms, "and one that is in force");
  await later.close();

  copyFileSync(join(state, "backup.db"), join(state, "hub.db"));
  const restored = await openStore(join(state, "hub.db"));
  t.teardown(() => restored.close());
  const third = keeperAt(state, restored);
  third.clock.ms = clock.ms + 3 * DAY_MS;
  t.ok((await third.current()).number > back.number);
});

test("[ID-91] a list is issued at each revocation and at least daily, and each one begins later than the one before", async (t) => {
  const { hub, state } = await labHub(t);
  const { clock, current } = keeperAt(state, hub.store);
  const lists: StoredCrl[] = [await current()];
  for (const id of ["gw-1", "gw-2", "gw-3"]) {
    const device = await labDevice(id);
    await enrolled(hub, device);
    await revoke(hub, device.id, "operator");
    lists.push(await current());
  }
  t.ok(
    lists.every((each, at) => at === 0 || each.thisUpdateMs >= (lists[at - 1]?.thisUpdateMs ?? 0) + 1000),
    "OpenSSL takes the one that begins later, and dates are whole seconds",
  );
  t.same(
    lists.map(({ count }) => count),
    [0, 1, 2, 3],
  );
  const [last] = lists.slice(-1);
  clock.ms += DAY_MS - 60_000;
  t.equal((await current()).number, last?.number);
  clock.ms += 120_000;
  const daily = await current();
  t.ok(daily.number > (last?.number ?? 0));
  t.equal(daily.nextUpdateMs - Math.floor(clock.ms / 1000) * 1000, 30 * DAY_MS);
  clock.ms = daily.thisUpdateMs + 500;
  const crowded = await current();
  t.ok(crowded.number > daily.number);
  t.equal(crowded.thisUpdateMs, daily.thisUpdateMs, "without room before now it begins no earlier than the one before");
});

test("[ID-91] an ended certificate leaves the list days after its end, and a forgotten device with it", async (t) => {
  const { hub, state } = await labHub(t, { certificateLifeMsMin: 1000, certificateLifeMs: 2000 });
  const device = await labDevice("gw-1");
  await enrolledBefore(hub, state, device, { agoMs: 10_000, lifeMs: 5_000 });
  await revoke(hub, device.id, "operator");
  const { clock, current } = keeperAt(state, hub.store);
  t.equal((await current()).count, 1, "RFC 5280 section 3.3");
  clock.ms += 4 * DAY_MS;
  t.equal((await current()).count, 0);
  await forget(hub, device.id, undefined, "operator");
  t.equal((await current()).count, 0);
});

test("[ID-91] a full list is still issued, without the certificates that end first, and says so", async (t) => {
  const { hub, state } = await labHub(t);
  for (const [id, lifeMs] of [
    ["gw-1", 40_000_000],
    ["gw-2", 20_000_000],
    ["gw-3", 30_000_000],
  ] as const) {
    const device = await labDevice(id);
    await enrolledBefore(hub, state, device, { agoMs: 0, lifeMs });
    await revoke(hub, device.id, "operator");
  }
  const troubles: (Fault | undefined)[] = [];
  const onTrouble = (fault: Fault | undefined): void => void troubles.push(fault);
  const { issuer } = loadAuthority(state);
  await hub.stop();
  const store = await openStore(join(state, "hub.db"));
  t.teardown(() => store.close());
  // a day later another one is due, with room for two
  const nowMs = (): number => Date.now() + DAY_MS;
  const crl = await createCrlKeeper({ store, issuer, entriesMax: 2, onTrouble, nowMs }).current();
  t.match(troubles, [{ code: "hub.crl-failed", message: /full with 2 entries, and those that end first/u }]);
  const listed = shown(crl.der).toLowerCase();
  const serials = await store.crls.revoked(0, 9);
  t.same(
    serials.map(({ serial }) => listed.includes(serial)),
    [true, true, false],
  );
});

test("[ID-92] a list that cannot be issued is a trouble that says until when the last one holds, and none is given after its end", async (t) => {
  const { state, store } = await restingHub(t);
  const { clock, troubles, current } = keeperAt(state, store);
  const first = await current();
  clock.ms = first.issuedAtMs - 400 * DAY_MS;
  t.equal((await current()).number, first.number, "a clock before the authority begins: the last list is kept");
  t.same(troubles, [undefined], "the wrong clock is a trouble of its own");
  clock.ms = first.issuedAtMs + 26 * 365 * DAY_MS; // past the end of the authority
  await t.rejects(current(), { code: "hub.crl-failed", message: /the last one ended at .*refuses every device/u });
  t.match(troubles.at(-1), { code: "hub.crl-failed", message: /authority ended at/u });
  clock.ms = first.issuedAtMs + 60_000;
  t.equal((await current()).number, first.number);
  t.equal(troubles.at(-1), undefined, "the trouble is over");
});

test(
  "[ID-92] a hub whose authority may not sign lists is in trouble, and everything else of it works",
  { skip: needs("openssl") },
  async (t) => {
    const state = await temporaryDirectory(t);
    await initHub({ state, name: "old", hosts: ["localhost", "127.0.0.1"] });
    const made = withoutCrlSign(
      readFileSync(join(state, "authority.pem"), "utf8"),
      readFileSync(join(state, "authority.key"), "utf8"),
    );
    writeFileSync(join(state, "authority.pem"), made);
    writeFileSync(join(state, "hub.json"), JSON.stringify({ ...readAnchors(state), authority: made }));
    const { hub } = await labHub(t, { state });
    t.match(hub.troubles(), [{ kind: "crl", code: "hub.crl-failed", message: /keyUsage without cRLSign.*there is none yet/u }]);
    t.match((await ask(hub, "/healthz")).body.toString(), /crl: hub\.crl-failed/u);
    t.match(await ask(hub, "/crl"), { status: 503, headers: { "retry-after": /^\d+$/u } });
    t.match(await enrolled(hub, await labDevice("gw-1")), /CERTIFICATE/u);
    t.match(await hubCommand(state, "crl"), { code: 1, err: [/hub\.crl-failed/u] });
  },
);

test("[ID-92] an authority that may not sign lists signs none, and says so", async (t) => {
  const authority = makeAuthority("old", Date.now());
  const issuer = createIssuer("old", authority);
  t.ok(maySignCrl(issuer.certificate.raw));
  const certificatePem = withoutCrlSign(authority.certificatePem, authority.keyPem);
  const without = createIssuer("old", { keyPem: authority.keyPem, certificatePem });
  t.notOk(maySignCrl(without.certificate.raw));
  t.ok(without.certificate.verify(without.certificate.publicKey));
  const content = { number: 1, thisUpdateMs: Date.now(), nextUpdateMs: Date.now() + DAY_MS, entries: [] };
  t.throws(() => without.issueCrl(content), { code: "hub.crl-failed", message: /keyUsage without cRLSign/u });
});

test("[ID-90] a list of many thousand entries, and dates beyond 2049, are as OpenSSL wants them", async (t) => {
  const issuer = createIssuer("many", makeAuthority("many", Date.now()));
  const entries = Array.from({ length: 20_000 }, (_, at) => ({
    serial: `40${at.toString(16).padStart(30, "0")}`,
    revokedAtMs: Date.UTC(2051, 0, 1),
    reason: at % 2 === 0 ? ("superseded" as const) : ("unspecified" as const),
  }));
  const der = issuer.issueCrl({
    number: 2 ** 41,
    thisUpdateMs: Date.UTC(2050, 5, 1),
    nextUpdateMs: Date.UTC(2050, 6, 1),
    entries,
  });
  t.equal(Buffer.compare(openssl(["crl", "-inform", "DER", "-outform", "DER"], der), der), 0);
  const words = shown(der);
  t.match(words, /Last Update: Jun {2}1 00:00:00 2050 GMT/u);
  t.match(words, /CRL Number:\s+2199023255552/u);
});

test("[ID-93] certificates name the place of the list only where the hub is told one", { skip: needs("openssl") }, async (t) => {
  const { hub } = await labHub(t, { crlUrl: "http://crl.example/sallyport.crl" });
  const cert = await enrolled(hub, await labDevice("gw-1"));
  const text = (pem: string): string => opensslWords(["x509", "-noout", "-text"], pem);
  t.match(text(cert), /X509v3 CRL Distribution Points:\s+Full Name:\s+URI:\s?http:\/\/crl\.example\/sallyport\.crl/u);
  const { hub: plain } = await labHub(t);
  t.notMatch(text(await enrolled(plain, await labDevice("gw-1"))), /Distribution Points/u);
  for (const crlUrl of ["ftp://x/", "http://a b", `http://${"x".repeat(300)}/`, "http://x/\u00e9", ""])
    await t.rejects(labHub(t, { crlUrl }), { code: "config.invalid" });
});

test("[ID-92] sallyport-hub crl --out writes the list whole, beside a running hub, and leaves a file alone that has it", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  await enrolled(hub, device);
  const out = join(await temporaryDirectory(t), "crl.pem");
  const write = (...more: readonly string[]) => hubCommand(state, "crl", "--out", out, ...more);
  t.match(await write(), { code: 0, out: [/with 0 revoked certificates.*written/su] });
  t.equal(statSync(out).mode & 0o777, 0o644, "the broker is another user");
  const { ino } = statSync(out);
  t.match(await write(), { code: 0, out: [/has it already/u] });
  t.equal(statSync(out).ino, ino);
  t.match(await hubCommand(state, "devices", "revoke", "gw-1"), { code: 0 });
  t.match((await write("--json")).data, { count: 1, written: true });
  t.not(statSync(out).ino, ino, "a new file took its place");
  t.equal(readFileSync(out, "utf8"), (await ask(hub, "/crl.pem")).body.toString(), "the hub serves the same list");
  t.equal(readFileSync(out, "utf8"), crlPem((await hub.store.crls.current())?.der ?? Buffer.of()));
  t.match(await hubCommand(state, "crl", "--out", "/nowhere/at/all"), { code: 1, err: [/file\.write-failed.*nowhere/u] });
  t.notOk(existsSync("/nowhere"));
});
