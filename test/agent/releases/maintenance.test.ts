// A repository that is not itself for a minute: in maintenance, behind a portal, or behind a proxy
// that changes what passes. The update goes on afterwards, and is not the one to blame.
import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { type Test, test } from "tap";
import { openSwitchableProxy } from "../../lab/counterparts/switchable-proxy.ts";
import { isLongRun } from "../../lab/runner/long-run.ts";
import { clientOf } from "../../lab/counterparts/static-repository.ts";
import { countingRepository } from "../../lab/worlds/slow-image.ts";
import { labPki, lastPhase, publishedRelease, reports, skip, until, written } from "./published.ts";

type Answer = (response: ServerResponse, file: Buffer) => void;

/** A minute on the fast clock of the lab. */
const MINUTE_MS = 120;
const PAGE = "<html>maintenance</html>";

const ANSWERS: Readonly<Record<string, Answer>> = {
  "a page": (response) => response.writeHead(200, { "content-type": "text/html" }).end(PAGE),
  "a page without a type": (response) => response.writeHead(200).end(PAGE),
  "a redirect to a portal": (response) => response.writeHead(302, { location: "http://portal.example/login" }).end(),
  "503 with Retry-After": (response) => response.writeHead(503, { "retry-after": "20" }).end(PAGE),
  "nothing at all": (response) => response.writeHead(200, { "content-length": "0" }).end(),
  "half of the file": (response, file) => response.writeHead(200).end(file.subarray(0, file.length / 2)),
  gzip: (response, file) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(file)),
  "gzip without saying so": (response, file) => response.writeHead(200).end(gzipSync(file)),
  "JSON of a portal": (response) =>
    response.writeHead(200, { "content-type": "application/json" }).end('{"error":"login required"}'),
  "a page without an end": (response) => response.writeHead(200).end(Buffer.alloc(2_000_000, "<p>")),
  "401": (response) => response.writeHead(401).end(),
};

/** @returns what was asked for while the repository was away, and after that. */
async function updatedThrough(t: Test, answer: Answer, concerns: (path: string) => boolean, awayMs = MINUTE_MS) {
  const { lab, image } = await publishedRelease(t, "gateway-2", 2);
  let untilMs: number | undefined;
  const during: string[] = [];
  const after: string[] = [];
  const served = await countingRepository(t, {
    directory: lab.directory,
    server: labPki().server,
    instead: ({ url = "" }, response, file) => {
      const path = url.replace("/repository/", "");
      if (!concerns(path)) return false;
      untilMs ??= performance.now() + awayMs;
      const isAway = performance.now() < untilMs;
      (isAway ? during : after).push(path);
      if (isAway) answer(response, file);
      return isAway;
    },
  });
  const releases = lab.start({ repository: () => clientOf(t, labPki(), served.port) });
  t.teardown(() => releases.stop());
  releases.updateHinted("os/gateway-2.json");
  await until("the written update", () => lab.warden.says.update.phase === "written");
  await until("the report", () => lastPhase(lab) === "written");
  t.same(written(lab), image);
  t.notOk(lab.warden.asked.includes("update.abandon"), "it is not the release's fault");
  t.notMatch(JSON.stringify(reports(lab)), /"phase":"failed"/u);
  return { lab, during, after, releases };
}

/** Each stands for a way of its own through the client; the others are for the long run. */
const SHORT_RUN: readonly string[] = ["a page", "503 with Retry-After", "half of the file", "gzip"];

for (const [what, answer] of Object.entries(ANSWERS).filter(([each]) => isLongRun() || SHORT_RUN.includes(each)))
  test(`[OTA-78] ${what} for every chunk for a minute: the update goes on`, { skip }, async (t) => {
    const { during } = await updatedThrough(t, answer, (path) => path.startsWith("chunks/"));
    t.ok(during.length > 0);
  });

test(
  "[OTA-78] a repository that is away as a whole for most of an hour is not blamed on the release either",
  { skip },
  async (t) => {
    const page = ANSWERS["a page without a type"] ?? (() => undefined);
    let isAtChunks = false;
    const concerns = (path: string): boolean => (isAtChunks ||= path.startsWith("chunks/"));
    const { releases } = await updatedThrough(t, page, concerns, 30 * MINUTE_MS);
    await until("no fault", () => releases.faults().length === 0);
  },
);

test("[OTA-78] a page for manifests and indexes never reaches the warden", { skip }, async (t) => {
  const page = ANSWERS["a page without a type"] ?? (() => undefined);
  const { lab } = await updatedThrough(t, page, (path) => /^(?:targets|indexes)\//u.test(path));
  t.notMatch(JSON.stringify(lab.notes), /image\.invalid|index\.invalid/u);
});

test("[OTA-78] a page for the metadata is told as something else, and the check is made again", { skip }, async (t) => {
  const page = ANSWERS["a page without a type"] ?? (() => undefined);
  const { lab } = await updatedThrough(t, page, (path) => path.startsWith("metadata/"), 5 * MINUTE_MS);
  t.match(lab.lines.join("\n"), /the repository answered with something else/u);
});

test("[OTA-78] a portal with a certificate of its own is waited out too", { skip }, async (t) => {
  const { lab, image } = await publishedRelease(t, "gateway-2", 2);
  const [real, portal] = await Promise.all(
    [labPki().server, labPki().attackerServer].map((server) => countingRepository(t, { directory: lab.directory, server })),
  );
  const way = await openSwitchableProxy();
  t.teardown(() => way.close());
  way.point(portal?.port);
  const releases = lab.start({ repository: () => clientOf(t, labPki(), way.port) });
  t.teardown(() => releases.stop());
  releases.updateHinted("os/gateway-2.json");
  await until("a refused certificate", () => releases.faults().some(({ code }) => code === "tls.hub-untrusted"));
  way.point(real?.port);
  await until("the written update", () => lab.warden.says.update.phase === "written");
  t.same(written(lab), image);
  t.same(portal?.asked, [], "nothing was asked of it");
});

test(
  "[OTA-76] [OTA-77] the hub hears why an update waits, and nothing that has arrived is asked for again",
  { skip },
  async (t) => {
    const { lab } = await publishedRelease(t, "gateway-2", 2);
    let gone: string | undefined;
    const away = Promise.withResolvers<void>();
    let isBack = false;
    void away.promise.then(() => (isBack = true));
    const served = await countingRepository(t, {
      directory: lab.directory,
      server: labPki().server,
      instead: ({ url = "" }, response) => {
        if (!url.includes("/chunks/") || isBack) return false;
        gone ??= url;
        if (url !== gone) return false;
        response.writeHead(503, { "retry-after": "1800" }).end();
        return true;
      },
    });
    const releases = lab.start({ repository: () => clientOf(t, labPki(), served.port) });
    t.teardown(() => releases.stop());
    releases.updateHinted("os/gateway-2.json");
    await until("the report", () => JSON.stringify(reports(lab)).includes("tries again: fetch.refused: "));
    away.resolve();
    await until("the written update", () => lab.warden.says.update.phase === "written");
    const counts = new Map<string, number>();
    for (const { path } of served.asked) counts.set(path, (counts.get(path) ?? 0) + 1);
    const twice = [...counts].filter(([path, count]) => count > 1 && !path.startsWith("metadata/")).map(([path]) => path);
    t.same(twice, [gone?.replace("/repository/", "")], "only the chunk that did not come");
  },
);
