// The transfer of a release to the warden, whole and interrupted.
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { eventually } from "../../lab/runner/process.ts";
import { lastPhase, publishedMetadata, publishedRelease, reports, skip, until, written } from "./published.ts";

/** A server that has taken the request and does not answer. */
function untilAborted(signal: AbortSignal | undefined): Promise<undefined> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(new Fault("update.aborted", "the request was aborted")));
  });
}

test("[OTA-42] [OTA-65] a hinted update is brought range by range, and each phase is reported once", { skip }, async (t) => {
  const { lab, image } = await publishedRelease(t, "gateway-2", 2);
  const releases = lab.start();
  releases.updateHinted("os/gateway-2.json");
  releases.updateHinted("os/gateway-2.json");
  await until("the written update", () => lab.warden.says.update.phase === "written");
  await until("the report", () => lastPhase(lab) === "written");
  await eventually("the hand-over directory to be empty again", async () =>
    (await lab.dropped()).length === 0 ? true : undefined,
  );
  await releases.stop();
  t.same(written(lab), image);
  const phases = reports(lab).map((each) => JSON.stringify(each).match(/"phase":"[a-z]+"/u)?.[0]);
  t.equal(new Set(phases).size, phases.length, "no phase twice");
});

test(
  "[OTA-42] a target that the repository does not have is not requested from the warden, but reported to the hub and recorded",
  { skip },
  async (t) => {
    const lab = await publishedMetadata(t);
    const releases = lab.start();
    releases.updateHinted("os/nowhere.json");
    await until("the report", () => lastPhase(lab) === "failed");
    t.match(reports(lab).at(-1), { phase: "failed", detail: /^os\/nowhere\.json: update\.refused: / });
    t.notOk(lab.warden.asked.includes("update.begin"));
    t.same(releases.faults(), [], "a hint that leads nowhere is no fault of the device");
    t.match(lab.notes, [{ event: "input.refused", result: "refused", detail: { channel: "update", code: "update.refused" } }]);
  },
);

test("an agent that is stopped during an update continues it, even if the warden restarted too", { skip }, async (t) => {
  const { lab, image } = await publishedRelease(t, "gateway-2", 2);
  const chunks = join(lab.directory, "chunks");
  const away = join(lab.directory, "away");
  let isAtKernel = false;
  const first = lab.start({
    repository: () => {
      const inner = lab.places.repository();
      return {
        close: () => inner.close(),
        get: (path, bytesMax, signal) => {
          if (lab.warden.says.update.expects?.part !== "kernel" || !path.startsWith("chunks/"))
            return inner.get(path, bytesMax, signal);
          isAtKernel = true;
          return untilAborted(signal);
        },
      };
    },
  });
  first.updateHinted("os/gateway-2.json");
  await until("the kernel's chunks", () => isAtKernel);
  await first.stop();
  t.equal(lab.warden.says.update.phase, "verified");
  t.notOk(lab.warden.written.has("kernel"));
  await lab.warden.restart();
  const requestsBefore = lab.warden.asked.length;
  await rename(chunks, away);
  const second = lab.start();
  await until("a missing chunk", () => second.faults().some(({ code }) => code === "chunk.missing"));
  t.ok(lab.warden.asked.slice(requestsBefore).includes("update.begin"), "manifest and indexes are brought once more");
  await rename(away, chunks);
  await until("the written update", () => lab.warden.says.update.phase === "written");
  t.same(written(lab), image, "what was in place was not written a second time");
  await until("no fault", () => second.faults().length === 0);
});

test("stopping ends at once what is under way: a repository or a warden that does not answer", { skip }, async (t) => {
  let isRefreshing = false;
  const never = Promise.withResolvers<never>();
  const lab = await publishedMetadata(t, {
    "trust.refresh": () => {
      isRefreshing = true;
      return never.promise;
    },
  });
  let isAsked = false;
  const hanging = {
    get: (_path: string, _bytesMax: number, signal?: AbortSignal): Promise<undefined> => {
      isAsked = true;
      return untilAborted(signal);
    },
    close: () => undefined,
  };
  const first = lab.start({ repository: () => hanging });
  first.connected();
  await until("a request to the repository", () => isAsked);
  await first.stop();
  const second = lab.start();
  second.connected();
  await until("a request to the warden", () => isRefreshing);
  let isStopped = false;
  void second.stop().then(() => {
    isStopped = true;
  });
  await until("the stop, without an answer of the warden", () => isStopped);
  t.same([...first.faults(), ...second.faults()], []);
  // The server waits for its handlers.
  never.reject(new Fault("protocol.closed", "the test is over"));
});
