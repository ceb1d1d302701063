// Updates that the agent gives up: for a release that is at fault, and for a network that is.
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Test, test } from "tap";
import { type GivenUp, giveUp } from "../../../agent/releases/give-up.ts";
import type { UpdateReporter } from "../../../agent/releases/update-reporter.ts";
import { assert, Fault, type FaultCode } from "../../../hal/fault.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";
import {
  emptyRepository,
  lastPhase,
  lastReportSays,
  publishedRelease,
  publishRelease,
  reports,
  skip,
  until,
  written,
} from "./published.ts";

/** @returns the first file under `directory`. */
async function someFile(directory: string): Promise<string> {
  const [entry] = await readdir(directory, { withFileTypes: true });
  assert(entry !== undefined, `"${directory}" has a file`);
  return entry.isDirectory() ? someFile(join(directory, entry.name)) : join(directory, entry.name);
}

test(
  "[OTA-68] a release with a tampered chunk is given up soon, with a reason that the warden shows; then another can be taken up",
  { skip },
  async (t) => {
    const { lab } = await publishedRelease(t, "gateway-3", 3);
    await writeFile(await someFile(join(lab.directory, "chunks")), "no chunk");
    const releases = lab.start();
    releases.updateHinted("os/gateway-3.json");
    await until("the report", () => lastPhase(lab) === "failed");
    t.match(reports(lab).at(-1), {
      release: { target: "os/gateway-3.json" },
      detail: /^update\.aborted: the agent gave up: chunk\.tampered: /u,
    });
    t.equal(lab.warden.asked.filter((verb) => verb === "update.abandon").length, 1);
    t.same(releases.faults(), [], "nothing is tried any more");
    const image = await publishRelease(lab, "gateway-2", 2);
    releases.updateHinted("os/gateway-2.json");
    await until("the older release written", () => lab.warden.says.update.phase === "written");
    t.same(written(lab).root, image.root);
  },
);

/**
 * Starts the work on a release without chunks.
 * @returns once it is at its chunks, which `release` lets it miss.
 */
async function stuckAtChunks(t: Test) {
  const lab = await emptyRepository(t);
  await lab.release("gateway-3", 3);
  await rm(join(lab.directory, "chunks"), { recursive: true });
  await lab.release("gateway-2", 2);
  await publishRelease(lab, "gateway-1", 1);
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
  releases.updateHinted("os/gateway-3.json");
  await until("the chunks of the first release", () => isAtChunks);
  return { lab, releases, goOn: () => gate.resolve() };
}

test(
  "[OTA-68] [OTA-42] a release without its chunks makes way for the target that waits, and the hub hears of both",
  { skip },
  async (t) => {
    const { lab, releases, goOn } = await stuckAtChunks(t);
    releases.updateHinted("os/gateway-2.json");
    await until("the report that it waits", () => lastReportSays(lab, "os/gateway-2.json waits"));
    t.match(reports(lab).at(-1), {
      phase: "verified",
      release: { target: "os/gateway-3.json" },
      detail: /^os\/gateway-2\.json waits until/u,
    });
    goOn();
    await until("the second release written", () => lab.warden.says.update.phase === "written");
    await until("the report", () => lastPhase(lab) === "written");
    t.match(
      reports(lab).filter((each) => JSON.stringify(each).includes('"failed"')),
      [{ phase: "failed", release: { target: "os/gateway-3.json" }, detail: /the agent gave up: chunk\.missing/u }],
    );
    t.notMatch(JSON.stringify(reports(lab).at(-1)), / waits /u);

    releases.updateHinted("os/gateway-1.json");
    await until("the refusal", () => lastReportSays(lab, "update.busy"));
    t.match(reports(lab).at(-1), {
      phase: "written",
      release: { target: "os/gateway-2.json" },
      detail: /^os\/gateway-1\.json: update\.busy: /u,
    });
  },
);

test("[OTA-41] an update that an operator ended at the warden starts again only with another hint", { skip }, async (t) => {
  const { lab } = await publishedRelease(t, "gateway-2", 2);
  const chunks = join(lab.directory, "chunks");
  await rename(chunks, join(lab.directory, "away"));
  const releases = lab.start();
  releases.updateHinted("os/gateway-2.json");
  await until("a missing chunk", () => releases.faults().some(({ code }) => code === "chunk.missing"));
  await lab.warden.cancel("olga");
  await rename(join(lab.directory, "away"), chunks);
  await until("the end of all attempts", () => releases.faults().length === 0);
  await until("the report", () => lastPhase(lab) === "failed");
  t.match(reports(lab).at(-1), { phase: "failed", detail: "cancelled by olga" });
  t.equal(lab.warden.says.update.phase, "failed", "it stays failed");
  releases.updateHinted("os/gateway-2.json");
  await until("the written update", () => lab.warden.says.update.phase === "written");
  t.notOk(lab.warden.asked.includes("update.abandon"));
});

/**
 * Gives up the release `os/a.json`, which the warden has in `phase`.
 * @returns what the warden and the hub were told.
 */
async function givenUp(phase: UpdateStatus["phase"], code: FaultCode, change: Partial<GivenUp> = {}): Promise<string[]> {
  const calls: string[] = [];
  const release = { target: "os/a.json", counter: 2, digest: "ab".repeat(32) };
  const update: UpdateStatus = phase === "idle" ? { phase } : { phase, release };
  const served = await serveVerbs({
    "update.read": async () => update,
    "update.abandon": async ({ message }) => (calls.push(`abandon ${message}`), update),
  });
  const warden = clientOf(served.path);
  const reporter: UpdateReporter = {
    poke: () => void calls.push("poke"),
    remark: (kind) => void calls.push(kind),
    reportFailed: async (target) => void calls.push(`failed ${target}`),
    fault: () => undefined,
    done: Promise.resolve(),
  };
  const fault = new Fault(code, "words");
  await giveUp({ warden, reporter }, { target: "os/a.json", instead: undefined, fault, ...change });
  warden.close();
  await served.remove();
  return calls;
}

test("[OTA-68] if the network is at fault, the warden keeps the release and the next connection continues it", async (t) => {
  for (const code of [
    "fetch.unreachable",
    "fetch.timeout",
    "fetch.refused",
    "fetch.bad-response",
    "tls.hub-untrusted",
    "trust.expired",
    "file.no-space",
  ] as const)
    t.same(await givenUp("verified", code), ["connection"], code);
});

test("[OTA-68] if the release is at fault, it is abandoned at the warden", async (t) => {
  for (const code of ["chunk.missing", "chunk.tampered", "index.invalid", "image.invalid", "update.aborted"] as const)
    t.same(await givenUp("fetching", code, { target: undefined }), ["abandon words", "poke"], code);
  t.same(await givenUp("verified", "chunk.missing", { target: undefined, instead: "os/a.json" }), [], "the same release by name");
});

test("[OTA-41] a hint that leads to nothing is reported, unless the warden has ended the release itself", async (t) => {
  t.same(await givenUp("trying", "update.busy", { target: "os/b.json" }), ["hint"]);
  t.same(await givenUp("idle", "update.refused", { target: "os/b.json" }), ["failed os/b.json"]);
  t.same(await givenUp("failed", "chunk.missing"), [], "ended in the meantime: the warden reports it");
  t.same(await givenUp("failed", "update.refused"), ["failed os/a.json"], "not taken up this time");
});

test("[OTA-68] a reason cut in the middle of a character is sent as well-formed text", async (t) => {
  const fault = new Fault("chunk.missing", `${"x".repeat(255)}\u{1f4a5}`);
  const [abandon = ""] = await givenUp("fetching", "chunk.missing", { fault });
  t.equal(abandon, `abandon ${"x".repeat(255)}`);
});
