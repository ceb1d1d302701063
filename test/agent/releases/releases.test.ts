// Between a real HTTPS repository with really signed metadata and a warden behind its real protocol that wants files.
import { mkdtempSync, rmSync } from "node:fs";
import { readdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import type { Follower } from "../../../agent/releases/follow.ts";
import { type GivenUp, giveUp } from "../../../agent/releases/give-up.ts";
import { fetchWanted } from "../../../agent/releases/fetch-wanted.ts";
import { WANTED_BYTES_MAX, WANTS_MAX } from "../../../agent/releases/limits.ts";
import { assert, Fault, type FaultCode } from "../../../hal/fault.ts";
import type { Repository } from "../../../ota/fetch/index.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { WantedFile } from "../../../warden/targets/format.ts";
import { needs } from "../../lab/runner/needs.ts";
import { makePki, type Pki } from "../../lab/counterparts/pki.ts";
import { eventually } from "../../lab/runner/process.ts";
import { type LabReleases, labReleases } from "../../lab/worlds/releases.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";
import { labCustom, labKey, signed } from "../../lab/counterparts/repository.ts";

const directory = mkdtempSync(join(tmpdir(), "sallyport-releases-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const lacking = needs("openssl");
const held: { pki?: Pki } = {};
const pkiOfAll = (): Pki => (held.pki ??= makePki(directory));

const phases = ({ told }: LabReleases): readonly unknown[] =>
  told.flatMap((each) =>
    each !== "renewed" && each["kind"] === "update" && typeof each["update"] === "object" ? [each["update"]] : [],
  );
const lastPhase = (releases: LabReleases): unknown => {
  const last = phases(releases).at(-1);
  return typeof last === "object" && last !== null && "phase" in last ? last.phase : undefined;
};
const isLike = (report: unknown, text: string): boolean => JSON.stringify(report ?? {}).includes(text);
const until = (what: string, holds: () => boolean): Promise<boolean> =>
  eventually(what, async () => holds() || undefined, undefined, 5);

/** A server that has taken the request and says nothing. */
function untilCalledOff(signal: AbortSignal | undefined): Promise<undefined> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(new Fault("update.aborted", "called off")));
  });
}

test(
  "[OTA-40] [OTA-42] after a connection everything the warden wants is brought, what there is none of is named, and nothing stays behind",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    lab.lab.rotate("timestamp");
    lab.lab.publish("root", "timestamp");
    await lab.publish();
    const releases = lab.start();
    t.teardown(() => releases.stop());
    releases.connected();
    await until("a look", () => lab.warden.asked.includes("lockdown.read"));
    const { state } = await lab.warden.client.call("trust.refresh", { absent: [] });
    t.equal(state, "wanted", "the drop is empty again: a warden that is asked now has to want the next root");
    t.ok(lab.warden.asked.filter((verb) => verb === "trust.refresh").length > 8, "one file a question");
    t.same(await lab.dropped(), []);
    t.same(releases.troubles(), []);
    t.match(phases(lab), [{ phase: "idle" }]);
    t.equal(phases(lab).length, 1, "where the update is, is told once");
  },
);

test("a repository that is down is asked again, and the warden is left alone meanwhile", { skip: lacking }, async (t) => {
  const lab = await labReleases(t, pkiOfAll());
  await lab.publish();
  const dead: Repository & { close(): void } = {
    get: async () => {
      throw new Fault("fetch.unreachable", "nobody answers");
    },
    close: () => undefined,
  };
  let isDown = true;
  const releases = lab.start({ repository: () => (isDown ? dead : lab.places.repository()) });
  releases.connected();
  await until("a trouble", () => releases.troubles().some(({ code }) => code === "fetch.unreachable"));
  t.notOk(lab.warden.asked.includes("trust.refresh"));
  isDown = false;
  await until("a look that works", () => releases.troubles().length === 0);
  t.ok(lab.warden.asked.includes("trust.refresh"));
});

test(
  "a repository in which nothing was ever published is no trouble; one that loses its timestamp is",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    const releases = lab.start();
    const looks = (): number => lab.warden.asked.filter((verb) => verb === "lockdown.read").length;
    releases.connected();
    await until("a look", () => looks() === 1);
    t.same(releases.troubles(), []);
    t.notOk(lab.warden.asked.includes("trust.refresh"));
    releases.pointed("os/early.json");
    await until("that it is told", () => lastPhase(lab) === "failed");
    await lab.publish();
    releases.changed();
    await until("a look at what is there", () => looks() === 2);
    t.same(releases.troubles(), []);
    await rm(join(lab.directory, "metadata/timestamp.json"));
    releases.changed();
    await until("a trouble", () => releases.troubles().some(({ code }) => code === "trust.missing"));
  },
);

test(
  "[OTA-1] garbage, half a file and metadata that others signed are refused by the agent's own store, told once, and never reach the warden",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    await lab.publish();
    const timestamp = join(lab.directory, "metadata/timestamp.json");
    const releases = lab.start();
    const attacks: readonly [string, () => Promise<void>][] = [
      ["trust.invalid", () => writeFile(timestamp, "{ this is no JSON")],
      ["trust.bad-signature", () => writeFile(timestamp, signed({ ...lab.lab.timestamp, version: 9 }, [labKey()]))],
      ["trust.too-large", () => writeFile(timestamp, Buffer.alloc(40_000, "x"))],
      ["trust.invalid", () => truncate(timestamp, 100)],
    ];
    for (const [code, attack] of attacks) {
      await attack();
      releases.changed();
      const expected = code === "trust.too-large" ? "fetch.too-large" : code;
      await until(expected, () => releases.troubles().some((fault) => fault.code === expected));
    }
    t.notOk(lab.warden.asked.includes("trust.refresh"));
    t.same(
      lab.notes.map(({ event, detail }) => [event, detail?.["code"]]),
      [
        ["input.refused", "trust.invalid"],
        ["input.refused", "trust.bad-signature"],
        ["input.refused", "trust.invalid"],
      ],
      "each change of the cause once, however often it was looked",
    );
    await lab.publish();
    releases.changed();
    await until("a look that works", () => lab.warden.asked.includes("trust.refresh"));
  },
);

test("[OTA-40] wants without end are ended: the same file again, too many that are absent, too many, too large", async (t) => {
  const brought: string[] = [];
  const drop = {
    put: async (name: string) => void brought.push(name),
    remove: async () => undefined,
    clear: async () => undefined,
  };
  const bench = (get: Repository["get"]) => ({ repository: { get }, drop, signal: new AbortController().signal });
  const wanting = (path: (n: number) => string) => {
    let asked = 0;
    return async (): Promise<WantedFile> => ({
      state: "wanted",
      path: path(asked++),
      bytesMax: 1e12,
      handoverName: `f-${asked}`,
    });
  };
  const byte = async (): Promise<Uint8Array> => Buffer.from("x");
  const refused = { code: "protocol.invalid" };
  await t.rejects(
    fetchWanted(
      bench(byte),
      wanting(() => "metadata/same.json"),
    ),
    refused,
  );
  await t.rejects(
    fetchWanted(
      bench(async () => undefined),
      wanting((n) => `metadata/${n}.json`),
    ),
    refused,
  );
  brought.length = 0;
  await t.rejects(
    fetchWanted(
      bench(byte),
      wanting((n) => `metadata/${n}.json`),
    ),
    refused,
  );
  t.equal(brought.length, WANTS_MAX);
  brought.length = 0;
  const asked: number[] = [];
  const large = async (_path: string, bytesMax: number): Promise<Uint8Array> => {
    asked.push(bytesMax);
    return Buffer.alloc(bytesMax);
  };
  await t.rejects(
    fetchWanted(
      bench(large),
      wanting((n) => `indexes/${n}`),
    ),
    refused,
  );
  t.ok(
    asked.every((bytesMax) => bytesMax * brought.length <= WANTED_BYTES_MAX),
    "no file is asked for whole whatever the warden says",
  );
});

test(
  "[OTA-42] [OTA-41] an update that the hub points at is brought stretch by stretch, each phase told once",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    const image = await lab.release("gateway-2", 2);
    lab.lab.publish("os");
    await lab.publish();
    const releases = lab.start();
    releases.pointed("os/gateway-2.json");
    releases.pointed("os/gateway-2.json");
    await until("the update written", () => lab.warden.says.update.phase === "written");
    await until("that it is told", () => lastPhase(lab) === "written");
    await releases.stop();
    t.same(Buffer.concat(lab.warden.written.get("root") ?? []), image.root);
    t.same(Buffer.concat(lab.warden.written.get("kernel") ?? []), image.kernel);
    t.same(await lab.dropped(), []);
    const marks = phases(lab).map((each) => JSON.stringify(each).match(/"phase":"[a-z]+"/u)?.[0]);
    t.equal(new Set(marks).size, marks.length, "no phase twice");
  },
);

test(
  "[OTA-42] a target that the repository has not is not asked of the warden; the hub and the trail are told",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    await lab.publish();
    const releases = lab.start();
    releases.pointed("os/nowhere.json");
    await until("that it is told", () => lastPhase(lab) === "failed");
    t.match(phases(lab).at(-1), { phase: "failed", detail: /^os\/nowhere\.json: update\.refused: / });
    t.notOk(lab.warden.asked.includes("update.begin"));
    t.same(releases.troubles(), [], "a hint that leads nowhere is no trouble of the device's");
    t.match(lab.notes, [{ event: "input.refused", result: "refused", detail: { channel: "update", code: "update.refused" } }]);
  },
);

/** The first file below `at`. */
async function someFile(at: string): Promise<string> {
  const [entry] = await readdir(at, { withFileTypes: true });
  assert(entry !== undefined, `"${at}" has a file`);
  return entry.isDirectory() ? someFile(join(at, entry.name)) : join(at, entry.name);
}

test(
  "[OTA-41] a release with a chunk that stays tampered is given up within moments, in words that the warden tells; another one is taken up after it",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    await lab.release("gateway-3", 3);
    lab.lab.publish("os");
    await lab.publish();
    await writeFile(await someFile(join(lab.directory, "chunks")), "no chunk");
    const releases = lab.start();
    releases.pointed("os/gateway-3.json");
    await until("that it is told", () => lastPhase(lab) === "failed");
    t.match(phases(lab).at(-1), {
      release: { target: "os/gateway-3.json" },
      detail: /^update\.aborted: the agent gave up: chunk\.tampered: /u,
    });
    t.equal(lab.warden.asked.filter((verb) => verb === "update.abandon").length, 1);
    t.same(releases.troubles(), [], "nothing is tried any more");
    const image = await lab.release("gateway-2", 2);
    lab.lab.publish("os");
    await lab.publish();
    releases.pointed("os/gateway-2.json");
    await until("the older one written", () => lab.warden.says.update.phase === "written");
    t.same(Buffer.concat(lab.warden.written.get("root") ?? []), image.root);
  },
);

test(
  "[OTA-41] [OTA-42] a release without its chunks makes way for the target that waits, and the hub hears of both",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    await lab.release("gateway-3", 3);
    await rm(join(lab.directory, "chunks"), { recursive: true });
    await lab.release("gateway-2", 2);
    await lab.release("gateway-1", 1);
    lab.lab.publish("os");
    await lab.publish();
    const gate = Promise.withResolvers<void>();
    let isAtChunks = false;
    const releases = lab.start({
      repository: () => {
        const inner = lab.places.repository();
        return {
          close: () => inner.close(),
          get: async (path, bytesMax, signal) => {
            isAtChunks ||= path.startsWith("chunks/");
            if (isAtChunks) await gate.promise;
            return inner.get(path, bytesMax, signal);
          },
        };
      },
    });
    releases.pointed("os/gateway-3.json");
    await until("the first is at its chunks", () => isAtChunks);
    releases.pointed("os/gateway-2.json");
    const waiting = { phase: "verified", release: { target: "os/gateway-3.json" }, detail: /^os\/gateway-2\.json waits until/u };
    await until("that it waits", () => isLike(phases(lab).at(-1), "os/gateway-2.json waits"));
    t.match(phases(lab).at(-1), waiting);
    gate.resolve();
    await until("the second written", () => lab.warden.says.update.phase === "written");
    await until("that it is told", () => lastPhase(lab) === "written");
    const failed = { phase: "failed", release: { target: "os/gateway-3.json" }, detail: /the agent gave up: chunk\.missing/u };
    t.match(
      phases(lab).filter((each) => isLike(each, '"failed"')),
      [failed],
    );
    t.notMatch(JSON.stringify(phases(lab).at(-1)), / waits /u);

    releases.pointed("os/gateway-1.json");
    await until("that it is refused", () => isLike(phases(lab).at(-1), "update.busy"));
    t.match(phases(lab).at(-1), {
      phase: "written",
      release: { target: "os/gateway-2.json" },
      detail: /^os\/gateway-1\.json: update\.busy: /u,
    });
  },
);

test(
  "[OTA-41] what the warden has ended, an operator having said so, is not begun again by the agent, only by another hint",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    await lab.release("gateway-2", 2);
    lab.lab.publish("os");
    await lab.publish();
    const chunks = join(lab.directory, "chunks");
    await rename(chunks, join(lab.directory, "away"));
    const releases = lab.start();
    releases.pointed("os/gateway-2.json");
    await until("a chunk that is missing", () => releases.troubles().some(({ code }) => code === "chunk.missing"));
    await lab.warden.cancel("olga");
    await rename(join(lab.directory, "away"), chunks);
    await until("that nothing is tried any more", () => releases.troubles().length === 0);
    await until("that it is told", () => lastPhase(lab) === "failed");
    t.match(phases(lab).at(-1), { phase: "failed", detail: "cancelled by olga" });
    t.equal(lab.warden.says.update.phase, "failed", "it stays so");
    releases.pointed("os/gateway-2.json");
    await until("the update written", () => lab.warden.says.update.phase === "written");
    t.notOk(lab.warden.asked.includes("update.abandon"));
  },
);

test("[OTA-41] where the line is the matter, nothing is ended: the next connection goes on with it", async (t) => {
  const release = { target: "os/a.json", counter: 2, digest: "ab".repeat(32) };
  const given = async (phase: UpdateStatus["phase"], code: FaultCode, change: Partial<GivenUp> = {}): Promise<string[]> => {
    const said: string[] = [];
    const update: UpdateStatus = phase === "idle" ? { phase } : { phase, release };
    const served = await serveVerbs({
      "update.read": async () => update,
      "update.abandon": async ({ message }) => (said.push(`abandon ${message}`), update),
    });
    const warden = clientOf(served.path);
    const follower: Follower = {
      poke: () => void said.push("poke"),
      remark: (kind) => void said.push(kind),
      tellFailed: async (target) => void said.push(`failed ${target}`),
      trouble: () => undefined,
      done: Promise.resolve(),
    };
    const fault = new Fault(code, "words");
    await giveUp({ warden, follower }, { target: "os/a.json", instead: undefined, fault, ...change });
    warden.close();
    await served.remove();
    return said;
  };
  for (const code of ["fetch.unreachable", "fetch.timeout", "tls.hub-untrusted", "trust.expired", "file.no-space"] as const)
    t.same(await given("verified", code), ["line"], code);
  for (const code of ["chunk.missing", "chunk.tampered", "index.invalid", "fetch.refused", "update.aborted"] as const)
    t.same(await given("fetching", code, { target: undefined }), ["abandon words", "poke"], code);
  t.same(await given("verified", "chunk.missing", { target: undefined, instead: "os/a.json" }), [], "the same one, by its name");
  t.same(await given("trying", "update.busy", { target: "os/b.json" }), ["hint"]);
  t.same(await given("idle", "update.refused", { target: "os/b.json" }), ["failed os/b.json"]);
  t.same(await given("failed", "chunk.missing"), [], "ended meanwhile: the warden tells");
  t.same(await given("failed", "update.refused"), ["failed os/a.json"], "not taken up this time");
});

test(
  "an agent that is stopped in the middle of an update goes on where the warden is, though that restarted too",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll());
    const image = await lab.release("gateway-2", 2);
    lab.lab.publish("os");
    await lab.publish();
    const chunks = join(lab.directory, "chunks");
    const away = join(lab.directory, "away");
    let isHeld = false;
    const first = lab.start({
      repository: () => {
        const inner = lab.places.repository();
        return {
          close: () => inner.close(),
          get: (path, bytesMax, signal) => {
            if (lab.warden.says.update.expects?.part !== "kernel" || !path.startsWith("chunks/"))
              return inner.get(path, bytesMax, signal);
            isHeld = true;
            return untilCalledOff(signal);
          },
        };
      },
    });
    first.pointed("os/gateway-2.json");
    await until("the kernel's turn", () => isHeld);
    await first.stop();
    t.equal(lab.warden.says.update.phase, "verified");
    t.notOk(lab.warden.written.has("kernel"));
    await lab.warden.restart();
    const already = lab.warden.asked.length;
    await rename(chunks, away);
    const second = lab.start();
    await until("a chunk that is missing", () => second.troubles().some(({ code }) => code === "chunk.missing"));
    t.same(lab.warden.asked.slice(already).includes("update.begin"), true, "manifest and indexes once more");
    await rename(away, chunks);
    await until("the update written", () => lab.warden.says.update.phase === "written");
    t.same(Buffer.concat(lab.warden.written.get("root") ?? []), image.root, "what was in place was not written again");
    t.same(Buffer.concat(lab.warden.written.get("kernel") ?? []), image.kernel);
    await until("no trouble", () => second.troubles().length === 0);
  },
);

test(
  "stopping ends what is under way at once: a repository that does not answer, a warden that does not",
  { skip: lacking },
  async (t) => {
    let refreshing = false;
    const never = Promise.withResolvers<never>();
    const lab = await labReleases(t, pkiOfAll(), {
      "trust.refresh": () => {
        refreshing = true;
        return never.promise;
      },
    });
    await lab.publish();
    const hanging = {
      asked: false,
      get: (_path: string, _bytesMax: number, signal?: AbortSignal): Promise<undefined> => {
        hanging.asked = true;
        return untilCalledOff(signal);
      },
      close: () => undefined,
    };
    const first = lab.start({ repository: () => hanging });
    first.connected();
    await until("a question to the repository", () => hanging.asked);
    await first.stop();
    const second = lab.start();
    second.connected();
    await until("a question to the warden", () => refreshing);
    let isStopped = false;
    void second.stop().then(() => {
      isStopped = true;
    });
    await until("the stop, though the warden has not answered", () => isStopped);
    t.same([...first.troubles(), ...second.troubles()], []);
    never.reject(new Fault("protocol.closed", "the test is over")); // the server waits for its handlers
  },
);

test("without a root in the image nothing new is taken, and the status says so", { skip: lacking }, async (t) => {
  const lab = await labReleases(t, pkiOfAll());
  await lab.publish();
  const releases = lab.start({
    imageRoot: async () => {
      throw new Fault("config.unreadable", "there is no such file");
    },
  });
  releases.changed();
  await until("a trouble", () => releases.troubles().some(({ code }) => code === "config.unreadable"));
  t.notOk(lab.warden.asked.includes("trust.refresh"));
});

const PLAN = `sha256:${"ab".repeat(32)}`;
const trialOf = (nonce: string) => ({ planHash: PLAN, nonce: nonce.repeat(32), confirmWithinMs: 120_000 });

test(
  "[LCK-13] the newest policy for this device is tried once; what is pending is told after a new connection, once; what was taken back is not tried again",
  { skip: lacking },
  async (t) => {
    const lab = await labReleases(t, pkiOfAll(), {
      "lockdown.propose": async () => {
        lab.told.push({ kind: "proposed" });
        lab.warden.says.lockdown = { at: "pending", counter: 3, trial: trialOf("5a") };
        return { counter: 3, trial: trialOf("5a") };
      },
    });
    lab.lab.addTarget("policy", "policy/plant-2", "{}", labCustom({ line: "policy", counter: 2 }));
    lab.lab.addTarget("policy", "policy/plant-3", "{}", labCustom({ line: "policy", counter: 3 }));
    lab.lab.addTarget("policy", "policy/other-4", "{}", labCustom({ line: "policy", counter: 4, audience: { devices: [] } }));
    lab.lab.publish("policy");
    await lab.publish();
    const pending = { kind: "lockdown.pending", counter: 3, planHash: PLAN, nonce: "5a".repeat(32), confirmWithinMs: 120_000 };
    const looked = async (): Promise<void> => {
      const before = lab.warden.asked.length;
      const reads = (): number => lab.warden.asked.slice(before).filter((verb) => verb === "lockdown.read").length;
      releases.connected();
      await until("another look", () => reads() > 0);
      releases.changed();
      await until("and one after it", () => reads() > 1);
    };
    const releases = lab.start();
    await looked();
    const about = (): unknown[] => lab.told.filter((each) => each === "renewed" || each["kind"] !== "update");
    await until("that it is told", () => about().length === 3);
    t.same(about(), [{ kind: "proposed" }, "renewed", pending]);
    await looked();
    lab.warden.says.lockdown = { at: "base", reverted: { planHash: PLAN, reason: "timeout" } };
    await looked();
    t.equal(about().length, 3, "neither told again nor tried again");
    await releases.stop();

    lab.warden.says.lockdown = { at: "pending", counter: 3, trial: trialOf("6b") };
    await rm(join(lab.directory, "metadata"), { recursive: true });
    const again = lab.start();
    again.connected();
    await until("that it is told by the next life, whatever is wrong with the repository", () => about().length === 5);
    t.same(about().slice(3), ["renewed", { ...pending, nonce: "6b".repeat(32) }]);
  },
);

test(
  "[LCK-13] a policy that the warden refuses is a trouble and is not asked for at every look",
  { skip: lacking },
  async (t) => {
    let asked = 0;
    const lab = await labReleases(t, pkiOfAll(), {
      "lockdown.propose": async () => {
        asked += 1;
        throw new Fault("lockdown.unchanged", "it was tried and taken back");
      },
    });
    lab.lab.addTarget("policy", "policy/plant", "{}", labCustom({ line: "policy", counter: 2 }));
    lab.lab.publish("policy");
    await lab.publish();
    const releases = lab.start();
    releases.connected();
    await until("a refusal", () => asked === 1);
    const looks = (): number => lab.warden.asked.filter((verb) => verb === "lockdown.read").length;
    const before = looks();
    releases.changed();
    await until("another look", () => looks() > before);
    t.equal(asked, 1);
  },
);
