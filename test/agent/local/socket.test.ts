// The local socket, with the real server and the real client.
import { once } from "node:events";
import { chmod, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test, type Test } from "tap";
import { askLocal, openLocalSocket } from "../../../agent/local/index.ts";
import { CONNECTIONS_MAX } from "../../../agent/local/limits.ts";
import { OPERATION_REQUEST_BYTES_MAX } from "../../../agent/operations/format.ts";
import { listenUnix } from "../../../hal/linux/index.ts";
import { HANDLERS, watchedOperations } from "../../lab/worlds/operations.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const REQUEST = { v: 1, id: "q-1", operation: "status", args: {} } as const;

async function serve(t: Test, handlers = HANDLERS) {
  const path = join(await temporaryDirectory(t), "root.sock");
  const { operations, entries } = watchedOperations(handlers);
  const server = await openLocalSocket({ path, socket: "root", operations, listen: listenUnix });
  t.teardown(() => server.close());
  return { path, server, entries };
}

/** Sends raw pieces and reads until the agent ends the connection. */
async function talk(path: string, ...pieces: readonly (string | Uint8Array)[]): Promise<readonly unknown[]> {
  const socket = connect({ path });
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line));
}

test("[OPS-3] [OPS-6] a request through the root socket is local root's, and one line answers one line", async (t) => {
  const { path, entries } = await serve(t);
  t.match(await askLocal(path, REQUEST), { v: 1, id: "q-1", result: { tunnel: { hub: "hub.example.net:8883" } } });
  t.match(entries, [{ event: "operation.allowed", principal: "local-root", correlation: "q-1", detail: { channel: "local" } }]);
  t.equal(entries.length, 1);
});

test("[OPS-6] several requests in one piece, and one request in many pieces, are answered in order", async (t) => {
  const { path } = await serve(t);
  const line = (id: string) => `${JSON.stringify({ ...REQUEST, id })}\n`;
  t.match(await talk(path, line("1") + line("2"), ...line("3").split("")), [{ id: "1" }, { id: "2" }, { id: "3" }]);
});

test("only the owner may open the socket", async (t) => {
  const { path } = await serve(t);
  t.equal((await stat(path)).mode & 0o777, 0o600);
});

test("[OPS-5] a request that is not JSON is refused and recorded, and ends the connection", async (t) => {
  const { path, entries } = await serve(t);
  const answers = await talk(path, `status\n${JSON.stringify(REQUEST)}\n`);
  t.match(answers, [{ id: "", fault: { code: "operation.invalid" } }]);
  t.equal(answers.length, 1, "the next line is not read");
  t.match(entries, [{ event: "input.refused", principal: "local-root" }]);
  t.equal(entries.length, 1);
});

test("[OPS-6] a line of 64 KiB is read, and a longer one is refused before it ends", async (t) => {
  const { path, entries } = await serve(t);
  const padding = OPERATION_REQUEST_BYTES_MAX - JSON.stringify(REQUEST).length - 1;
  t.match(await talk(path, `${JSON.stringify(REQUEST)}${" ".repeat(padding)}\n`), [{ id: "q-1", result: { v: 1 } }]);
  const long = connect({ path });
  long.write("x".repeat(OPERATION_REQUEST_BYTES_MAX));
  const data: unknown[] = await once(long, "data");
  t.match(JSON.parse(String(data[0])), { id: "", fault: { code: "operation.invalid" } });
  long.destroy();
  t.equal(entries.filter(({ event }) => event === "input.refused").length, 1);
});

test("a caller that leaves in the middle of a line or an answer does no harm", async (t) => {
  const { path } = await serve(t);
  for (const piece of ['{"v":1,', `${JSON.stringify(REQUEST)}\n`.repeat(200)]) {
    const socket = connect({ path });
    await once(socket, "connect");
    socket.write(piece);
    socket.destroy();
  }
  t.match(await askLocal(path, REQUEST), { result: { v: 1 } });
});

test("connections above the limit are closed, and the others are still served", async (t) => {
  const { path } = await serve(t);
  const open = Array.from({ length: CONNECTIONS_MAX }, () => connect({ path }));
  await Promise.all(open.map((socket) => once(socket, "connect")));
  // Whether the agent has closed the connection before the request was written, or after it.
  for (let caller = 0; caller < 30; caller++)
    await t.rejects(askLocal(path, REQUEST), {
      code: "socket.unreachable",
      message: /was closed before it answered: 8 callers are connected already, .*try again/u,
    });
  open.shift()?.destroy();
  for (const socket of open) socket.write(`${JSON.stringify(REQUEST)}\n`);
  await Promise.all(open.map((socket) => once(socket, "data")));
  for (const socket of open) socket.destroy();
});

test("the socket of a dead agent is replaced, but a file that is no socket is not removed", async (t) => {
  const directory = await temporaryDirectory(t);
  const { operations } = watchedOperations();
  const path = join(directory, "root.sock");
  const dead = await openLocalSocket({ path, socket: "root", operations, listen: listenUnix });
  const alive = await openLocalSocket({ path, socket: "root", operations, listen: listenUnix });
  t.match(await askLocal(path, REQUEST), { id: "q-1" });
  await alive.close();
  await dead.close();
  const file = join(directory, "file");
  await writeFile(file, "precious");
  await t.rejects(openLocalSocket({ path: file, socket: "root", operations, listen: listenUnix }), {
    code: "socket.listen-failed",
    message: /other than a socket/,
  });
  t.equal((await stat(file)).size, 8);
  await t.rejects(openLocalSocket({ path: join(directory, "none", "x"), socket: "root", operations, listen: listenUnix }), {
    code: "socket.listen-failed",
    message: /directory must exist/,
  });
});

test("closing ends the open connections and removes the socket", async (t) => {
  const { path, server } = await serve(t);
  const socket = connect({ path });
  await once(socket, "connect");
  const closed = once(socket, "close");
  await server.close();
  await closed;
  await t.rejects(stat(path), { code: "ENOENT" });
});

test("the caller learns why the agent cannot be reached: never there, gone, or not for this user", async (t) => {
  const directory = await temporaryDirectory(t);
  await t.rejects(askLocal(join(directory, "none.sock"), REQUEST), {
    code: "socket.unreachable",
    message: /no agent listens at .* is it running/,
  });
  await writeFile(join(directory, "file"), "");
  await t.rejects(askLocal(join(directory, "file"), REQUEST), { code: "socket.unreachable" });
  // Root is never refused: test/agent/cli/main.test.ts asks as another user.
  if (process.getuid?.() === 0) return;
  const { path } = await serve(t);
  await chmod(path, 0);
  await t.rejects(askLocal(path, REQUEST), { code: "socket.denied", message: /try as root/ });
});

test("the caller checks the agent's answer and refuses an invalid one", async (t) => {
  const answers: readonly [string, { code: string; message?: RegExp }][] = [
    ["what?\n", { code: "json.invalid" }],
    ['{"v":1,"id":"q-2","result":{}}\n', { code: "protocol.invalid", message: /request "q-2", but this is "q-1"/ }],
    ['{"v":1,"id":"q-1"}\n', { code: "protocol.invalid" }],
    ['{"v":1,"id":"q-1","fault":{"code":"nonsense","message":""}}\n', { code: "protocol.invalid" }],
    ["x".repeat(300_000), { code: "protocol.too-large" }],
    ["", { code: "socket.unreachable", message: /closed before it answered/ }],
  ];
  for (const [answer, fault] of answers) {
    const path = join(await temporaryDirectory(t), "root.sock");
    const server = createServer((socket) => void socket.on("error", () => {}).end(answer)).listen(path);
    await once(server, "listening");
    await t.rejects(askLocal(path, REQUEST), fault);
    server.close();
  }
  const path = join(await temporaryDirectory(t), "root.sock");
  const silent = createServer(() => {}).listen(path);
  await once(silent, "listening");
  await t.rejects(askLocal(path, REQUEST, 50), { code: "socket.unreachable", message: /no answer .* within 50 ms/ });
  silent.close();
});

test("an answer that would be too long becomes a fault that says so", async (t) => {
  const records = Array.from({ length: 300_000 }, () => "x").join("");
  const { path } = await serve(t, {
    ...HANDLERS,
    status: async () => ({ ...(await HANDLERS.status({}, CONTEXT)), program: records }),
  });
  t.match(await askLocal(path, REQUEST), { id: "q-1", fault: { code: "operation.failed", message: /ask for less/ } });
});

const CONTEXT: Parameters<typeof HANDLERS.status>[1] = {
  principal: { id: "someone", roles: [], attributes: { channel: "local" }, credentials: [] },
  correlation: "1",
};
