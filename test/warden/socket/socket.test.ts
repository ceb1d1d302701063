// The socket itself: who may connect, how many, how much, and how it ends.
import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "tap";
import { linuxClock, listenUnix } from "../../../hal/linux/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, PROTOCOL_PENDING_MAX } from "../../../warden/protocol/format.ts";
import { serveSocket } from "../../../warden/socket/index.ts";
import { INVALID_REQUESTS_MAX, REQUEST_COST_BYTES } from "../../../warden/protocol/limits.ts";
import { CONNECTIONS_MAX } from "../../../warden/socket/limits.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { VERBS } from "../../lab/worlds/verbs.ts";
import { connectTo, hostilePeer, serveVerbs } from "../../lab/worlds/warden-socket.ts";
import { createRequestBudget, createProtocolSession, createRefusalRecorder } from "../../../warden/protocol/index.ts";

const REQUEST = '{"id":2,"verb":"time.nonce","args":{}}\n';
const clock = linuxClock();
const options = (path: string): Parameters<typeof serveSocket>[0] => ({
  path,
  clock,
  listen: listenUnix,
  refused: () => undefined,
  report: () => undefined,
  open: (send, signal) =>
    createProtocolSession({
      handlers: VERBS,
      budget: createRequestBudget(clock, { bytesPerSecond: 1e9, burstBytes: 1e9 }),
      refusals: createRefusalRecorder(
        async () => 0,
        clock,
        () => undefined,
      ),
      report: () => undefined,
      send,
      signal,
    }),
});

test("[OPS-1] the socket is for owner and group only, under any umask", async (t) => {
  const before = process.umask(0);
  t.teardown(() => void process.umask(before));
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  t.equal((await stat(served.path)).mode & 0o777, 0o660);
  t.equal(process.umask(0), 0, "and the umask is as it was");
});

test("[OPS-1] a dead warden's socket is replaced, another file is left alone, and a missing directory is reported", async (t) => {
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  const again = await served.serveAgain(); // binds over the first, as after kill -9
  t.teardown(() => again.close());
  const peer = await hostilePeer(served.path);
  t.match(await peer.hello(), { result: { protocol: 1 } });
  peer.end();

  const file = join(dirname(served.path), "file");
  await writeFile(file, "precious");
  t.equal((await faultOf(() => serveSocket(options(file)))).code, "socket.listen-failed");
  await mkdir(join(dirname(served.path), "folder"));
  t.equal((await faultOf(() => serveSocket(options(join(dirname(served.path), "folder"))))).code, "socket.listen-failed");
  t.equal((await faultOf(() => serveSocket(options(join(dirname(served.path), "missing/w.sock"))))).code, "socket.listen-failed");
  t.equal((await stat(file)).size, 8);
});

test("[OPS-2] connections are bounded: one more is closed unread and counted, and the others are served", async (t) => {
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  const peers = await Promise.all(Array.from({ length: CONNECTIONS_MAX }, () => hostilePeer(served.path)));
  for (const peer of peers) t.match(await peer.hello(), { id: 1, result: {} });
  const late = await hostilePeer(served.path);
  t.equal(await late.next(), undefined);
  t.match(served.recorded, [{ event: "protocol.refused", detail: { verb: "connect" } }]);
  peers[0]?.end();
  t.match(await peers[1]?.ask("time.nonce", {}), { result: {} });
  for (const peer of peers) peer.end();
});

test("[OPS-1] a line longer than 64 KiB ends the connection before its end is read; one that just fits is read", async (t) => {
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  const frame = '{"id":2,"verb":"x","args":{"a":""}}';
  const fitting = `{"id":2,"verb":"x","args":{"a":"${"y".repeat(PROTOCOL_LINE_BYTES_MAX - frame.length - 1)}"}}\n`;
  const good = await hostilePeer(served.path);
  await good.hello();
  good.write(fitting);
  t.match(await good.next(), { id: 2, fault: { code: "protocol.unknown-verb" } });
  good.write(fitting.replace("y", "yy"));
  t.match(await good.next(), { id: 0, fault: { code: "protocol.too-large" } });
  t.equal(await good.next(), undefined);

  const endless = await hostilePeer(served.path);
  await endless.hello();
  endless.write("z".repeat(10 * PROTOCOL_LINE_BYTES_MAX));
  for (let said = await endless.next(); said !== undefined; said = await endless.next())
    t.match(
      said,
      { id: 0, fault: { code: "protocol.too-large" } },
      "when it arrives at all: the kernel may drop it, because the rest was never read",
    );
  t.match(served.recorded.at(-1), { detail: { code: "protocol.too-large" } });
});

test("[OPS-1] an incomplete line before the end of the stream has no effect; complete requests before a half-close are answered", async (t) => {
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  const peer = await hostilePeer(served.path);
  await peer.hello();
  peer.socket.end(`${REQUEST}{"id":3,"verb":"time.no`);
  t.match(await peer.next(), { id: 2, result: {} });
  t.equal(await peer.next(), undefined);
  t.same(served.recorded, []);
});

test("[OPS-2] a peer that never reads is held back: its answers do not pile up here, and others are answered", async (t) => {
  const big = "n".repeat(60_000);
  let asked = 0;
  const served = await serveVerbs({
    "time.nonce": async () => {
      asked += 1;
      return { nonce: big };
    },
    "audit.append": async () => ({ seq: 1 }),
  });
  t.teardown(() => served.remove());
  const deaf = await connectTo(served.path);
  deaf.on("error", () => undefined); // cut off at the end
  deaf.write('{"id":1,"verb":"hello","args":{"protocol":1,"program":"deaf"}}\n');
  deaf.write(REQUEST.repeat(2_000)); // 120 MB of answers, if the warden made them all
  const other = await hostilePeer(served.path);
  await other.hello();
  const until = clock.monotonicMs() + 1000; // long enough for all 2,000 if they were not held back
  while (clock.monotonicMs() < until) {
    t.match(await other.ask("audit.append", { event: "agent.started", result: "ok" }), { result: { seq: 1 } });
    await clock.sleep(50);
  }
  t.ok(asked < 2 * PROTOCOL_PENDING_MAX, `${asked} of 2000 requests were served`);
  deaf.destroy();
  other.end();
});

test("[OPS-10] a peer faster than the budget is slowed, and a new connection gives it no more", async (t) => {
  let asked = 0;
  const limits = { bytesPerSecond: 20_480, burstBytes: 20_480 };
  const served = await serveVerbs(
    {
      "time.nonce": async () => {
        asked += 1;
        return { nonce: "5a".repeat(32) };
      },
    },
    limits,
  );
  t.teardown(() => served.remove());
  const started = clock.monotonicMs();
  for (let n = 0; n < 3; n++) {
    const peer = await hostilePeer(served.path);
    peer.write('{"id":1,"verb":"hello","args":{"protocol":1,"program":"fast"}}\n');
    peer.write(REQUEST.repeat(15));
    for (let line = 0; line < 16; line++) await peer.next();
    peer.end();
  }
  const paid = (asked + 3) * (REQUEST_COST_BYTES + REQUEST.length - 1);
  const allowed = limits.burstBytes + ((clock.monotonicMs() - started) * limits.bytesPerSecond) / 1000;
  t.ok(paid <= allowed + REQUEST_COST_BYTES + 100, `${paid} bytes for ${asked} requests and 3 hellos, ${allowed} allowed`);
});

test("[OPS-10] the eighth invalid request ends the connection, and the last line says why", async (t) => {
  const served = await serveVerbs();
  t.teardown(() => served.remove());
  const peer = await hostilePeer(served.path);
  await peer.hello();
  peer.write('{"id":2,"verb":"shell.run","args":{}}\n'.repeat(100));
  const answers: unknown[] = [];
  for (let line = await peer.next(); line !== undefined; line = await peer.next()) answers.push(line);
  t.equal(answers.length, INVALID_REQUESTS_MAX + 1);
  t.match(answers.at(-1), {
    id: 0,
    fault: { code: "protocol.invalid", message: /^8 requests of this connection were invalid/u },
  });
});

test("[OPS-10] the event loop gets a turn between the lines of one chunk", async (t) => {
  let asked = 0;
  const turns = new Set<number>();
  let turn = 0;
  const served = await serveVerbs({
    "time.nonce": async () => {
      asked += 1;
      turns.add(turn);
      return { nonce: "5a".repeat(32) };
    },
  });
  t.teardown(() => served.remove());
  const peer = await hostilePeer(served.path);
  await peer.hello();
  const counting: { immediate?: NodeJS.Immediate } = {};
  const count = (): void => {
    turn += 1;
    counting.immediate = setImmediate(count);
  };
  count();
  t.teardown(() => clearImmediate(counting.immediate));
  peer.write(REQUEST.repeat(30));
  for (let line = 0; line < 30; line++) await peer.next();
  t.equal(asked, 30);
  t.equal(turns.size, 30, "no two of them in one turn");
});

test("[OPS-1] stopping answers the requests that were begun and takes no more", async (t) => {
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const served = await serveVerbs({
    "audit.append": async () => {
      begun.resolve();
      await gate.promise;
      return { seq: 9 };
    },
  });
  t.teardown(() => served.remove());
  const peer = await hostilePeer(served.path);
  await peer.hello();
  const answer = peer.ask("audit.append", { event: "agent.started", result: "ok" });
  await begun.promise;
  const closed = served.server.close();
  gate.resolve();
  t.match(await answer, { result: { seq: 9 } });
  t.equal(await peer.next(), undefined);
  await closed;
});
