// The repository server, asked by clients, caches and attackers.
import { mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "tap";
import fastify from "fastify";
import { repositoryRoutes } from "../../../hub/repository/index.ts";
import { portOf } from "../../lab/counterparts/static-repository.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const BODY = "0123456789";

async function served(t: Parameters<typeof temporaryDirectory>[0]) {
  const base = await temporaryDirectory(t);
  const directory = join(base, "repository");
  await mkdir(join(directory, "store/ab12"), { recursive: true });
  await writeFile(join(base, "secret"), "outside");
  await writeFile(join(directory, "1.root.json"), BODY);
  await writeFile(join(directory, "empty"), "");
  await writeFile(join(directory, `store/ab12/ab12.cacnk`), "chunk");
  const app = fastify({ forceCloseConnections: true });
  repositoryRoutes(app, { directory, prefix: "/repository" });
  t.teardown(async () => app.close());
  await app.listen({ host: "127.0.0.1", port: 0 });
  return { app, base, directory, port: portOf(app.server.address()) };
}

/** A request exactly as written, which a client library would normalise. */
async function raw(port: number, line: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return text(socket);
}

test("[OTA-37] a file is served completely, with headers for caches; chunks are immutable", async (t) => {
  const { app } = await served(t);
  const whole = await app.inject("/repository/1.root.json");
  t.equal(whole.statusCode, 200);
  t.equal(whole.body, BODY);
  t.match(whole.headers, {
    "content-length": "10",
    "accept-ranges": "bytes",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
  });
  const again = await app.inject({ url: "/repository/1.root.json", headers: { "if-none-match": String(whole.headers.etag) } });
  t.equal(again.statusCode, 304);
  t.match((await app.inject("/repository/store/ab12/ab12.cacnk")).headers["cache-control"], /immutable/);
  t.match(await app.inject("/repository/empty"), { statusCode: 200, body: "" });
  t.match(await app.inject({ method: "HEAD", url: "/repository/1.root.json" }), {
    statusCode: 200,
    body: "",
    headers: { "content-length": "10" },
  });
});

test("[OTA-37] one range is answered, a malformed one is ignored, and one outside the file is refused", async (t) => {
  const { app, directory } = await served(t);
  const ask = (range: string, more = {}) => app.inject({ url: "/repository/1.root.json", headers: { range, ...more } });
  for (const [range, body, content] of [
    ["bytes=0-3", "0123", "bytes 0-3/10"],
    ["bytes=4-", "456789", "bytes 4-9/10"],
    ["bytes=-3", "789", "bytes 7-9/10"],
    ["bytes=8-99", "89", "bytes 8-9/10"],
    ["bytes=-99", BODY, "bytes 0-9/10"],
  ] as const)
    t.match(
      await ask(range),
      { statusCode: 206, body, headers: { "content-range": content, "content-length": String(body.length) } },
      range,
    );
  for (const range of ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "lines=1-2", "bytes=x", "bytes=99999999999999999999-"])
    t.match(await ask(range), { statusCode: 200, body: BODY }, range);
  for (const range of ["bytes=10-", "bytes=-0"])
    t.match(await ask(range), { statusCode: 416, headers: { "content-range": "bytes */10" } }, range);
  const { etag } = (await ask("bytes=0-3")).headers;
  t.equal((await ask("bytes=0-3", { "if-range": String(etag) })).statusCode, 206);
  await utimes(join(directory, "1.root.json"), new Date(0), new Date(0));
  t.equal((await ask("bytes=0-3", { "if-range": String(etag) })).statusCode, 200, "a file that changed is sent whole");
});

test("[OTA-37] no form of a path leads outside the repository, to a hidden file, or to a listing", async (t) => {
  const { port, directory } = await served(t);
  await writeFile(join(directory, ".hidden"), "hidden");
  const paths = [
    "../secret",
    "%2e%2e/secret",
    "..%2fsecret",
    "%2e%2e%2fsecret",
    "store/../../secret",
    "store/%2e%2e/%2e%2e/secret",
    "..\\secret",
    "%00",
    "1.root.json%00.png",
    "/secret",
    "//etc/passwd",
    "",
    "store",
    "store/",
    ".hidden",
    "%2ehidden",
    "a/".repeat(20),
    "a".repeat(300),
    "%ff",
    "store//ab12/ab12.cacnk",
  ];
  for (const path of paths) {
    const answer = await raw(port, `GET /repository/${path}`);
    t.match(answer, /^HTTP\/1\.1 (?:404|400|414) /, path);
    t.notMatch(answer, /outside|hidden\r?\n|root:/, path);
  }
  t.match(await raw(port, "GET /repository/1.root.json"), /200 OK[^]*0123456789$/);
});

test("[OTA-37] links lead only to files inside; a pipe is not served, and the server does not wait for it", async (t) => {
  const { app, base, directory } = await served(t);
  await symlink("1.root.json", join(directory, "root.json"));
  await symlink(join(base, "secret"), join(directory, "leak"));
  await symlink(base, join(directory, "up"));
  await symlink("loop", join(directory, "loop"));
  execFileSync("mkfifo", [join(directory, "pipe")]);
  t.match(await app.inject("/repository/root.json"), { statusCode: 200, body: BODY });
  for (const path of ["leak", "up/secret", "loop", "pipe", "nothing", "1.root.json/x"])
    t.equal((await app.inject(`/repository/${path}`)).statusCode, 404, path);
});

test("[OTA-37] no method can write", async (t) => {
  const { app } = await served(t);
  for (const method of ["PUT", "POST", "DELETE", "PATCH"] as const)
    t.equal((await app.inject({ method, url: "/repository/1.root.json" })).statusCode, 404, method);
  t.equal((await app.inject("/repository/1.root.json")).body, BODY);
});

test("[OTA-37] the number of stalled readers is bounded; when they leave, others are served", async (t) => {
  const { port, directory } = await served(t);
  await writeFile(join(directory, "large"), Buffer.alloc(8_000_000));
  const lazy = Array.from({ length: 260 }, () => {
    const socket = connect(port, "127.0.0.1").pause();
    socket.on("error", () => undefined);
    socket.write("GET /repository/large HTTP/1.1\r\nHost: x\r\n\r\n");
    return socket;
  });
  await Promise.all(lazy.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  t.match(await answerLike(port, /^HTTP\/1\.1 503 [^]*retry-after/i), /503/);
  for (const socket of lazy) socket.destroy();
  t.match(await answerLike(port, /^HTTP\/1\.1 200 /), /200/);
});

async function answerLike(port: number, pattern: RegExp): Promise<string> {
  return await eventually(`an answer like ${pattern}`, async () => {
    const answer = await raw(port, "GET /repository/1.root.json");
    return pattern.test(answer) ? answer : undefined;
  });
}
