// The agent's client on the warden's real socket.
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type Test } from "tap";
import { PROTOCOL_PENDING_MAX } from "../../../warden/protocol/format.ts";
import { CALLS_WAITING_MAX } from "../../../warden/client/client.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { NONCE } from "../../lab/worlds/verbs.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";

const EVENT = { event: "agent.started", result: "ok" } as const;

test("[OPS-1] calls are typed, matched to their answers and made on one connection", async (t) => {
  const served = await serveVerbs();
  const client = clientOf(served.path);
  t.teardown(async () => {
    client.close();
    await served.remove();
  });
  const answers = await Promise.all([
    client.call("time.nonce", {}),
    client.call("audit.append", EVENT),
    client.call("time.nonce", {}),
  ]);
  t.same(answers, [{ nonce: NONCE }, { seq: 7 }, { nonce: NONCE }]);
});

test("[OPS-2] a refusal of the warden is returned as its fault, and the connection goes on", async (t) => {
  const served = await serveVerbs();
  const client = clientOf(served.path);
  t.teardown(async () => {
    client.close();
    await served.remove();
  });
  t.equal((await faultOf(() => client.call("audit.read", { from: -1, count: 1 }))).code, "protocol.invalid");
  t.same(await client.call("time.nonce", {}), { nonce: NONCE });
});

test("[OPS-1] without a warden a call is refused with protocol.closed; the next call finds a warden that has started", async (t) => {
  const served = await serveVerbs();
  const client = clientOf(served.path);
  t.teardown(async () => {
    client.close();
    await served.remove();
  });
  await client.call("time.nonce", {});
  await served.server.close();
  t.equal((await faultOf(() => client.call("time.nonce", {}))).code, "protocol.closed");
  t.equal((await faultOf(() => client.call("time.nonce", {}))).code, "protocol.closed");
  await served.serveAgain();
  t.same(await client.call("time.nonce", {}), { nonce: NONCE });
});

test("[OPS-1] calls in flight when the warden goes away are refused and not repeated", async (t) => {
  let asked = 0;
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const served = await serveVerbs({
    "audit.append": async () => {
      asked += 1;
      begun.resolve();
      await gate.promise;
      return { seq: 1 };
    },
  });
  const client = clientOf(served.path);
  t.teardown(() => served.remove());
  const inFlight = faultOf(() => client.call("audit.append", EVENT));
  await begun.promise;
  client.close();
  t.equal((await inFlight).code, "protocol.closed");
  gate.resolve();
  t.equal(asked, 1);
  t.equal((await faultOf(() => client.call("time.nonce", {}))).code, "protocol.closed", "closed for good");
});

test("[OPS-2] calls beyond the number that may be unanswered wait; a queue beyond its bound is refused", async (t) => {
  let atOnce = 0;
  let most = 0;
  const served = await serveVerbs({
    "audit.append": async () => {
      most = Math.max(most, ++atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce -= 1;
      return { seq: 1 };
    },
  });
  const client = clientOf(served.path);
  t.teardown(async () => {
    client.close();
    await served.remove();
  });
  const outcomes = await Promise.allSettled(
    Array.from({ length: PROTOCOL_PENDING_MAX + CALLS_WAITING_MAX + 5 }, () => client.call("audit.append", EVENT)),
  );
  t.equal(outcomes.filter(({ status }) => status === "rejected").length, 5);
  t.ok(most <= PROTOCOL_PENDING_MAX, `${most} at once`);
  t.same(served.recorded, [], "an honest client is never refused by the warden");
});

/** A warden that sends `answer` for any line. */
async function fakeWarden(t: Test, answer: (line: string, n: number) => string | undefined): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-client-"));
  const path = join(directory, "warden.sock");
  const server: Server = createServer((socket) => {
    let n = 0;
    socket.on("error", () => undefined); // the client hangs up on nonsense, which is what is tested
    socket.on("data", (line: Buffer) => {
      const said = answer(line.toString(), n++);
      if (said !== undefined) socket.write(said);
    });
  }).listen(path);
  await once(server, "listening");
  t.teardown(async () => {
    server.close();
    await rm(directory, { recursive: true, force: true });
  });
  return path;
}

const HELLO = '{"id":1,"result":{"protocol":1,"program":"w","bootId":"b"}}\n';

test("[OPS-1] a warden that sends nonsense, the wrong result, too much, or an answer without a request is not believed", async (t) => {
  for (const [what, answer, code] of [
    ["no JSON", "what?\n", "protocol.closed"],
    ["nobody's request", '{"id":77,"result":{}}\n', "protocol.closed"],
    ["the answer of another verb", '{"id":2,"result":{"nonce":"short"}}\n', "protocol.invalid"],
    ["an additional member", `{"id":2,"result":{"nonce":"${NONCE}","more":1}}\n`, "protocol.invalid"],
    ["a line without end", "x".repeat(70_000), "protocol.closed"],
    ["an unknown code", '{"id":2,"fault":{"code":"made.up","message":""}}\n', "protocol.closed"],
    ["the end of the connection", '{"id":0,"fault":{"code":"protocol.invalid","message":"no request"}}\n', "protocol.closed"],
  ] as const) {
    const path = await fakeWarden(t, (_line, n) => (n === 0 ? HELLO : answer));
    const client = clientOf(path);
    t.equal((await faultOf(() => client.call("time.nonce", {}))).code, code, what);
    client.close();
  }
});

test("[OPS-1] the client ends a connection to a warden of another protocol", async (t) => {
  const path = await fakeWarden(t, () => '{"id":1,"result":{"protocol":2,"program":"w","bootId":"b"}}\n');
  t.equal((await faultOf(() => clientOf(path).call("time.nonce", {}))).code, "protocol.invalid");
});

test("[OPS-1] the connection to a warden that hangs ends after the time for an answer", async (t) => {
  const path = await fakeWarden(t, (_line, n) => (n === 0 ? HELLO : undefined));
  const fault = await faultOf(() => clientOf(path, 50).call("time.nonce", {}));
  t.equal(fault.code, "protocol.closed");
  t.match(fault.message, "time.nonce");
});
