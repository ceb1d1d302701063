import { X509Certificate } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { test, type Test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { deviceIdentitySchema } from "../../../hal/format/identity.ts";
import type { DurableFiles } from "../../../hal/ports.ts";
import {
  createCertificateReceipts,
  createCertificateStore,
  createEstEnroller,
  type EnrolmentPorts,
  type EnrolmentProgress,
  settleKey,
  startEnrolment,
} from "../../../provisioning/index.ts";
import { encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { type EstServer, serveHttps } from "../../lab/counterparts/est-server.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { fakeFiles, type FakeFiles } from "../../lab/fakes/files.ts";
import { type MemoryKey, memoryKey } from "../../lab/fakes/keys.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { issueFor, makePki, type Pki } from "../../lab/counterparts/pki.ts";

const skip = needs("openssl");
const NEVER = new AbortController().signal;
const IDENTITY = v.parse(deviceIdentitySchema, {
  id: "gw-1",
  source: "serial",
  boardSerial: "SN-42",
  macs: ["00:24:be:80:4f:f1"],
});

interface Bench {
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  readonly server: EstServer;
  readonly pki: Pki;
  /** The next statuses of /simpleenroll, in order; 200 when none is left. */
  readonly answers: number[];
  readonly progress: EnrolmentProgress[];
  /** The keys that were made. */
  readonly made: string[];
  /** The state a process of the device starts from: the same machine each time. */
  readonly ports: (overrides?: Partial<EnrolmentPorts>) => EnrolmentPorts;
}

/** A machine with an empty disk, and a real EST server. */
async function createBench(t: Test): Promise<Bench> {
  const directory = t.testdir();
  const pki = makePki(directory);
  const answers: number[] = [];
  const device = { commonName: "", names: [], usages: ["clientAuth"] };
  const server = await serveHttps(pki.server, pki.authority, (asked, response) => {
    if (asked.path.endsWith("/cacerts"))
      return void response.end(Buffer.from(encodeCertsOnly([new X509Certificate(pki.authority.cert).raw])).toString("base64"));
    if (asked.path.endsWith("/csrattrs")) return void response.writeHead(204).end();
    const status = answers.shift() ?? 200;
    if (status !== 200) return void response.writeHead(status, status === 202 ? { "retry-after": "20" } : {}).end();
    const cert = issueFor(directory, "issued", pki.authority, Buffer.from(asked.body, "base64"), device);
    response.end(Buffer.from(encodeCertsOnly([new X509Certificate(cert).raw])).toString("base64"));
  });
  t.teardown(() => server.close());
  const files = fakeFiles();
  const clock = fakeClock(Date.now());
  const progress: EnrolmentProgress[] = [];
  const made: string[] = [];
  const disk: { key?: MemoryKey } = {};
  const create = async (): Promise<MemoryKey> => {
    const key = memoryKey();
    disk.key = key;
    made.push(key.fingerprint);
    return key;
  };
  return {
    files,
    clock,
    server,
    pki,
    answers,
    progress,
    made,
    ports: (overrides = {}) => ({
      enroller: createEstEnroller({ hub: server.hub(pki.authority) }),
      identity: IDENTITY,
      request: { auditKey: undefined, enterpriseNumber: undefined },
      settleKey: async () =>
        settleKey({ store: { protection: "file", create }, ...(disk.key === undefined ? {} : { key: disk.key }) }, undefined),
      files,
      store: createCertificateStore(files),
      receipts: createCertificateReceipts(files),
      authority: pki.authority.cert,
      clock,
      clockTrusted: () => true,
      random: () => 0,
      report: (one) => progress.push(one),
      ...overrides,
    }),
  };
}

test("[OTA-77] an authority that is busy before it is asked for a certificate is left alone as long as it says", async (t) => {
  const bench = await createBench(t);
  let isBusy = true;
  const enroller = createEstEnroller({ hub: bench.server.hub(bench.pki.authority) });
  const busy = await serveHttps(bench.pki.server, bench.pki.authority, (_asked, response) =>
    response.writeHead(503, { "retry-after": "900" }).end(),
  );
  t.teardown(() => busy.close());
  const away = createEstEnroller({ hub: busy.hub(bench.pki.authority) });
  const prepare = async (): Promise<void> => {
    if (!isBusy) return enroller.prepare();
    isBusy = false;
    return away.prepare();
  };
  const ports = bench.ports({
    enroller: { name: "est", prepare, enrol: (request) => enroller.enrol(request), renew: (...args) => enroller.renew(...args) },
  });
  await pass(bench.clock, startEnrolment(ports, new AbortController().signal).done);
  t.match(
    bench.progress.filter(({ kind }) => kind === "waiting"),
    [{ kind: "waiting", fault: { code: "enrol.server-error" }, forMs: 900_000 }],
  );
});

/** Advances the clock whenever the device waits, until `done` settles. */
async function pass<T>(clock: FakeClock, done: Promise<T>): Promise<T> {
  const state = { over: false };
  const end = (): void => void (state.over = true);
  done.then(end, end);
  while (!state.over) {
    if (clock.nextWakeMs === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    else await clock.advance(clock.nextWakeMs);
  }
  return done;
}

test(
  "[ID-7] a blank device waits for its approval, then has a certificate, and its next start needs no network",
  { skip },
  async (t) => {
    const { ports, answers, clock, server, progress, made, files } = await createBench(t);
    answers.push(202, 202);
    const enrolled = await pass(clock, startEnrolment(ports(), NEVER).done);
    t.match(new X509Certificate(enrolled?.certificate.pem ?? "").subject, "CN=gw-1");
    t.same(
      progress.map((one) => one.kind),
      ["key-ready", "requested", "waiting", "waiting", "certificate-ready"],
    );
    t.match(progress[2], { fault: { code: "enrol.pending", message: /approve/ }, forMs: 20_000 });
    const bodies = server.asked.filter((one) => one.path.endsWith("/simpleenroll")).map((one) => one.body);
    t.equal(bodies.length, 3);
    t.equal(new Set(bodies).size, 1, "the same request each time");

    const asked = server.asked.length;
    const again = await pass(clock, startEnrolment(ports(), NEVER).done);
    t.equal(again?.certificate.serial, enrolled?.certificate.serial);
    t.equal(server.asked.length, asked);
    t.equal(made.length, 1);
    t.same([...files.contents.keys()].sort(), ["certificate-receipts.json", "certificate.pem", "request.der"]);
  },
);

test("[ID-7] a hub that is down, broken or refuses is asked again, each at its own rate", { skip }, async (t) => {
  const { ports, answers, clock, progress } = await createBench(t);
  answers.push(500, 401, 403, 400, 400); // [ID-32] what is called malformed is sent twice
  await pass(clock, startEnrolment(ports(), NEVER).done);
  const waits = progress.flatMap((one) => (one.kind === "waiting" ? [[one.fault.code, one.forMs]] : []));
  t.same(waits, [
    ["enrol.server-error", 1000],
    ["enrol.unauthorized", 900_000],
    ["enrol.denied", 900_000],
    ["enrol.refused", 1000],
  ]);
});

test("[ID-8] a certificate by an attacker's authority, or for another device, leaves the disk as it was", { skip }, async (t) => {
  const { ports, clock, pki, progress, files } = await createBench(t);
  const forged = [pki.attackerClient, pki.client].map((one) => new X509Certificate(one.cert).raw);
  const enroller = createEstEnroller({ hub: { host: "localhost", port: 1, authority: pki.authority.cert } });
  const stop = new AbortController();
  const enrol: typeof enroller.enrol = async () => {
    const certificate = forged.shift();
    if (certificate === undefined) stop.abort();
    return { kind: "issued", certificates: certificate === undefined ? [] : [certificate] };
  };
  const done = startEnrolment(ports({ enroller: { ...enroller, enrol, prepare: async () => undefined } }), stop.signal).done;
  t.equal(await pass(clock, done), undefined);
  t.same(progress.flatMap((one) => (one.kind === "waiting" ? [one.fault.code] : [])).slice(0, 2), [
    "enrol.mismatch",
    "enrol.mismatch",
  ]);
  t.same([...files.contents.keys()], ["request.der"]);
});

test(
  "[ID-6] [ID-7] after a kill at any change of the disk, before or after it, the next start goes on with the same key and request",
  { skip },
  async (t) => {
    for (const when of ["before", "after"] as const) {
      for (const cut of [1, 2, 3]) {
        const { ports, clock, made, files, server } = await createBench(t);
        let changes = 0;
        const stop = new AbortController();
        /** Ends the run at a change: nothing of the process survives, as with SIGKILL. */
        const dying: DurableFiles = {
          ...files,
          put: async (name, bytes) => {
            changes += 1;
            if (changes !== cut) return files.put(name, bytes);
            if (when === "after") await files.put(name, bytes);
            stop.abort();
            throw new Fault("assert.broken", "the process was killed here");
          },
        };
        const killed = startEnrolment(
          ports({ files: dying, store: createCertificateStore(dying), receipts: createCertificateReceipts(dying) }),
          stop.signal,
        ).done;
        await t.rejects(killed, { message: "the process was killed here" });
        const enrolled = await pass(clock, startEnrolment(ports(), NEVER).done);
        t.equal(enrolled?.key.fingerprint, made[0], `killed ${when} change ${cut}`);
        t.equal(made.length, 1, "only one key is ever made");
        t.equal(
          new Set(server.asked.flatMap((one) => (one.body === "" ? [] : [one.body]))).size,
          1,
          "one request, ever asked for",
        );
      }
    }
  },
);

test("[ID-7] enrolment outlasts a full or read-only disk, and does not make the key again", { skip }, async (t) => {
  const { ports, clock, made, files, progress } = await createBench(t);
  files.faults.failAt(1, "file.no-space");
  files.faults.failAt(2, "file.read-only");
  await pass(clock, startEnrolment(ports(), NEVER).done);
  t.same(
    progress.flatMap((one) => (one.kind === "waiting" ? [one.fault.code] : [])),
    ["file.no-space", "file.read-only"],
  );
  t.equal(made.length, 1);
});

test("[ID-6] a missing key ends enrolment at once: waiting cannot mend it, and no other key is made", { skip }, async (t) => {
  const { ports, made, server } = await createBench(t);
  const settle = async (): Promise<never> => {
    throw new Fault("key.missing", "gone");
  };
  await t.rejects(startEnrolment(ports({ settleKey: settle }), NEVER).done, { code: "key.missing" });
  t.equal(made.length + server.asked.length, 0);
});

test("[ID-23] with an expired certificate the device enrols again with the same key", { skip }, async (t) => {
  const { ports, clock, made, server } = await createBench(t);
  const first = await pass(clock, startEnrolment(ports(), NEVER).done);
  const asked = server.asked.length;
  await clock.set(clock.nowMs() + 91 * 86_400_000);
  const stop = new AbortController();
  const done = startEnrolment(ports({ report: (one) => one.kind === "waiting" && stop.abort() }), stop.signal).done;
  t.equal(await pass(clock, done), undefined, "by this clock the authority's certificates have expired, so each is refused");
  t.ok(server.asked.length > asked, "it asked all the same");
  await clock.set(0);
  const trusted = await pass(clock, startEnrolment(ports({ clockTrusted: () => false }), NEVER).done);
  t.equal(trusted?.certificate.serial, first?.certificate.serial, "an untrusted clock rejects nothing");
  t.equal(made.length, 1);
});

test(
  "[TUN-73] a certificate that was over by a clock that was ahead is used again when the clock is right, also where no authority answers",
  { skip },
  async (t) => {
    const bench = await createBench(t);
    await startEnrolment(bench.ports(), NEVER).done;
    const { current: pem } = await bench.ports().store.load();
    const right = bench.clock.nowMs();
    await bench.clock.set(right + 5 * 365 * 86_400_000);
    for (let n = 0; n < 50; n += 1) bench.answers.push(404);
    const asked = (): number => bench.server.asked.filter(({ path }) => path.endsWith("/simpleenroll")).length;
    const before = asked();
    const waiting = startEnrolment(bench.ports(), NEVER);
    await eventually("it asks for another one", async () => asked() > before || undefined);
    await bench.clock.set(right);
    const revived = await eventually("the one that is there", async () => {
      waiting.wake();
      return await Promise.race([waiting.done, sleep(50)]);
    });
    t.equal(revived?.certificate.pem, pem);
    t.equal(asked(), before + 1);
  },
);

test("[ID-23] a certificate that the hub no longer accepts is replaced, although its dates are valid", { skip }, async (t) => {
  const { ports, clock, made } = await createBench(t);
  const first = await pass(clock, startEnrolment(ports(), NEVER).done);
  const second = await pass(clock, startEnrolment(ports({ again: true }), NEVER).done);
  t.not(second?.certificate.serial, first?.certificate.serial);
  t.equal(second?.key.fingerprint, first?.key.fingerprint);
  t.equal(made.length, 1);
});

test("[ID-7] waking ends a wait at once; a stop ends everything", { skip }, async (t) => {
  const { ports, answers, clock, progress } = await createBench(t);
  answers.push(403);
  const enrolment = startEnrolment(ports(), NEVER);
  while (clock.sleeping === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  enrolment.wake();
  t.ok(await enrolment.done);
  t.equal(progress.at(-1)?.kind, "certificate-ready");

  const other = await createBench(t);
  other.answers.push(403);
  const stop = new AbortController();
  const stopped = startEnrolment(other.ports(), stop.signal);
  while (other.clock.sleeping === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  t.equal(await stopped.done, undefined);
});

test("[ID-5] a stored request that is damaged, or describes the machine as it was, is made anew", { skip }, async (t) => {
  const { ports, clock, files, server } = await createBench(t);
  files.contents.set("request.der", Buffer.from("garbage"));
  await pass(clock, startEnrolment(ports(), NEVER).done);
  files.contents.delete("certificate.pem");
  await pass(clock, startEnrolment(ports({ request: { auditKey: "a+00000000+AAAA", enterpriseNumber: undefined } }), NEVER).done);
  t.equal(new Set(server.asked.flatMap((one) => (one.body === "" ? [] : [one.body]))).size, 2);
});
