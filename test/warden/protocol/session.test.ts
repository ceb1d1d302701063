// The conversation on one connection, line by line, against handlers of the test.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, PROTOCOL_PENDING_MAX } from "../../../warden/protocol/format.ts";
import {
  createRequestBudget,
  type VerbHandlers,
  createProtocolSession,
  createRefusalRecorder,
  type ProtocolSession,
} from "../../../warden/protocol/index.ts";
import {
  INVALID_REQUESTS_MAX,
  REFUSAL_RECORDED_PERIOD_MS,
  REFUSALS_RECORDED_BURST_MAX,
} from "../../../warden/protocol/limits.ts";
import { type FakeClock, fakeClock } from "../../lab/fakes/clock.ts";
import { NONCE, VERBS } from "../../lab/worlds/verbs.ts";

interface Talk {
  readonly session: ProtocolSession;
  readonly clock: FakeClock;
  readonly sent: readonly string[];
  readonly recorded: readonly AuditEntry[];
  readonly reported: readonly Fault[];
  /** Refusals that the budget was charged. */
  charged(): number;
  say(line: string): Promise<boolean>;
}

function talk(over: Partial<VerbHandlers> = {}, append: (entry: AuditEntry) => Promise<number> = async () => 0): Talk {
  const clock = fakeClock();
  const sent: string[] = [];
  const recorded: AuditEntry[] = [];
  const reported: Fault[] = [];
  const report = (fault: Fault): void => void reported.push(fault);
  const budget = createRequestBudget(clock, { bytesPerSecond: 1e9, burstBytes: 1e9 });
  let charged = 0;
  const session = createProtocolSession({
    handlers: { ...VERBS, ...over },
    budget: { pay: (bytes, signal) => budget.pay(bytes, signal), chargeRefusal: () => void (charged += 1) },
    refusals: createRefusalRecorder(
      async (entry) => {
        const seq = await append(entry);
        recorded.push(entry);
        return seq;
      },
      clock,
      report,
    ),
    report,
    send: async (line) => void sent.push(line),
    signal: new AbortController().signal,
  });
  return { session, clock, sent, recorded, reported, charged: () => charged, say: (line) => session.receive(Buffer.from(line)) };
}

const request = (id: number, verb: string, args: object = {}): string => JSON.stringify({ id, verb, args });
const HELLO = request(1, "hello", { protocol: 1, program: "test" });

async function greeted(over: Partial<VerbHandlers> = {}): Promise<Talk> {
  const peer = talk(over);
  await peer.say(HELLO);
  return peer;
}

test("[OPS-1] hello comes first, then requests, and each answer carries the id of its request", async (t) => {
  const peer = talk();
  t.ok(await peer.say(HELLO));
  t.ok(await peer.say(request(7, "time.nonce")));
  await peer.session.settled();
  t.same(
    peer.sent.map((line): unknown => JSON.parse(line)),
    [
      { id: 1, result: { protocol: 1, program: "warden", bootId: "b" } },
      { id: 7, result: { nonce: NONCE } },
    ],
  );
  t.ok(peer.sent.every((line) => line.endsWith("\n")));
});

test("[OPS-1] another request before hello, or the hello of another protocol, ends the connection and is recorded", async (t) => {
  for (const first of [request(1, "time.nonce"), request(1, "hello", { protocol: 2, program: "test" })]) {
    const peer = talk();
    t.notOk(await peer.say(first));
    t.match(
      peer.sent.map((line): unknown => JSON.parse(line)),
      [{ id: 1, fault: { code: "protocol.invalid" } }],
    );
    t.match(peer.recorded, [{ event: "protocol.refused", result: "refused" }]);
  }
});

const NO_REQUESTS: readonly (readonly [string, string | Buffer])[] = [
  ["an empty line", ""],
  ["a line that is not JSON", "hello"],
  ["a number", "1"],
  ["a list", "[]"],
  ["null", "null"],
  ["no id", '{"verb":"time.nonce","args":{}}'],
  ["id 0, which is reserved for the warden", request(0, "time.nonce")],
  ["an id that is a text", '{"id":"1","verb":"time.nonce","args":{}}'],
  ["an id beyond safe integers", '{"id":9007199254740992,"verb":"time.nonce","args":{}}'],
  ["a list for arguments", '{"id":2,"verb":"time.nonce","args":[]}'],
  ["no arguments", '{"id":2,"verb":"time.nonce"}'],
  ["an inherited name for an argument", '{"id":2,"verb":"time.nonce","args":{"__proto__":{"a":1}}}'],
  ["another inherited name", '{"id":2,"verb":"time.nonce","args":{"constructor":1}}'],
  ["an unknown member", '{"id":2,"verb":"time.nonce","args":{},"sudo":true}'],
  ["depth", `{"id":2,"verb":"time.nonce","args":{"a":${"[".repeat(5000)}${"]".repeat(5000)}}}`],
  ["bytes that are not UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
  ["two requests in one line", request(2, "time.nonce") + request(3, "time.nonce")],
];

test("[OPS-1] a line that is not a request is answered with id 0 and ends the connection", async (t) => {
  for (const [what, line] of NO_REQUESTS) {
    const peer = await greeted();
    t.notOk(await peer.session.receive(Buffer.from(line)), what);
    t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 0, fault: { code: "protocol.invalid" } }, what);
    t.match(peer.recorded.at(-1), { event: "protocol.refused", detail: { code: "protocol.invalid" } });
  }
});

test("[OPS-2] a verb that is not in the table, an inherited name or wrong arguments are refused and recorded, and the connection goes on", async (t) => {
  for (const [verb, args, code] of [
    ["shell.run", {}, "protocol.unknown-verb"],
    ["__proto__", {}, "protocol.unknown-verb"],
    ["constructor", {}, "protocol.unknown-verb"],
    ["toString", {}, "protocol.unknown-verb"],
    ["time.nonce", { count: 2 }, "protocol.invalid"],
    ["audit.read", { from: -1, count: 1 }, "protocol.invalid"],
  ] as const) {
    const peer = await greeted();
    t.ok(await peer.say(request(2, verb, args)), verb);
    await peer.session.settled();
    t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 2, fault: { code } });
    t.match(peer.recorded, [{ event: "protocol.refused", result: "refused", principal: "agent", detail: { code } }]);
  }
});

test("[OPS-2] the verb of a request goes into the trail without control characters", async (t) => {
  const peer = await greeted();
  await peer.say(request(2, "\u001b[2J\nroot: ok"));
  await peer.session.settled();
  t.equal(peer.recorded[0]?.detail?.["verb"], "?[2J?root: ok");
});

test("[OPS-2] unanswered requests are bounded: one more is refused, and is served after some were answered", async (t) => {
  const gate = Promise.withResolvers<void>();
  const peer = await greeted({ "audit.append": async () => gate.promise.then(() => ({ seq: 7 })) });
  const append = (id: number): Promise<boolean> =>
    peer.say(request(id, "audit.append", { event: "agent.started", result: "ok" }));
  for (let id = 2; id < 2 + PROTOCOL_PENDING_MAX; id++) t.ok(await append(id));
  t.ok(await append(99));
  t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 99, fault: { code: "protocol.rate-limited" } });
  gate.resolve();
  await peer.session.settled();
  t.equal(peer.sent.length, 2 + PROTOCOL_PENDING_MAX);
  t.ok(await append(100));
  await peer.session.settled();
  t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 100, result: { seq: 7 } });
});

const refusing: Partial<VerbHandlers> = {
  "time.nonce": async () => {
    throw new Fault("time.nonce-unknown", "as planned");
  },
};

test("[OPS-2] a flood of refusals does not fill the log: a burst is recorded, then one a minute with the count of the others", async (t) => {
  const peer = await greeted(refusing);
  for (let n = 0; n < 200; n++) {
    await peer.say(request(2, "time.nonce"));
    await peer.session.settled();
  }
  t.equal(peer.recorded.length, REFUSALS_RECORDED_BURST_MAX);
  await peer.clock.advance(REFUSAL_RECORDED_PERIOD_MS);
  await peer.say(request(2, "time.nonce"));
  await peer.session.settled();
  t.equal(peer.recorded.length, REFUSALS_RECORDED_BURST_MAX + 1);
  t.equal(peer.recorded.at(-1)?.detail?.["suppressed"], 200 - REFUSALS_RECORDED_BURST_MAX);
});

test("[OPS-2] refusals that the log cannot take stand, are reported to the journal and counted in the next record", async (t) => {
  let full = true;
  const peer = talk({}, async () => {
    if (full) throw new Fault("file.no-space", "the disk is full");
    return 0;
  });
  await peer.say(HELLO);
  await peer.say(request(2, "shell.run"));
  await peer.session.settled();
  t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 2, fault: { code: "protocol.unknown-verb" } });
  t.match(peer.reported, [{ code: "file.no-space" }]);
  full = false;
  await peer.say(request(3, "shell.run"));
  await peer.session.settled();
  t.match(peer.recorded, [{ detail: { suppressed: 1 } }]);
});

test("[OPS-2] a failure of the warden goes to the journal and is not recorded against the peer; the message of a foreign error stays inside", async (t) => {
  const peer = await greeted({
    "time.nonce": async () => {
      throw new RangeError("/var/lib/secret is gone");
    },
    "audit.append": async () => {
      throw new Fault("audit.write-failed", "the disk is gone");
    },
  });
  await peer.say(request(2, "time.nonce"));
  await peer.say(request(3, "audit.append", { event: "agent.started", result: "ok" }));
  await peer.session.settled();
  t.same(peer.recorded, []);
  t.match(peer.reported, [{ code: "assert.broken", message: /secret/u }, { code: "audit.write-failed" }]);
  t.notMatch(peer.sent.join(""), "secret");
});

test("[OPS-1] an answer that would not fit in a line is a defect and is not sent", async (t) => {
  const peer = await greeted({ "time.nonce": async () => ({ nonce: "x".repeat(PROTOCOL_LINE_BYTES_MAX) }) });
  await peer.say(request(2, "time.nonce"));
  await peer.session.settled();
  t.match(JSON.parse(peer.sent.at(-1) ?? ""), { id: 2, fault: { code: "assert.broken" } });
});

test("[OPS-10] after eight invalid requests the connection ends, whatever valid ones came between", async (t) => {
  const peer = await greeted();
  const invalid = [request(2, "shell.run"), request(3, "time.nonce", { count: 1 })];
  for (let n = 1; n < INVALID_REQUESTS_MAX; n++) {
    t.ok(await peer.say(invalid[n % 2] ?? ""), `invalid request ${n}`);
    t.ok(await peer.say(request(4, "time.nonce")));
  }
  await peer.session.settled();
  t.notOk(await peer.say(request(5, "shell.run")));
  t.match(
    peer.sent.slice(-2).map((line): unknown => JSON.parse(line)),
    [
      { id: 5, fault: { code: "protocol.unknown-verb" } },
      { id: 0, fault: { code: "protocol.invalid", message: `${INVALID_REQUESTS_MAX} requests of this connection were invalid` } },
    ],
  );
});

test("[OPS-10] a refusal of a service does not count as invalid", async (t) => {
  const peer = await greeted(refusing);
  for (let n = 0; n < 3 * INVALID_REQUESTS_MAX; n++) t.ok(await peer.say(request(2, "time.nonce")));
});

test("[OPS-10] every refusal is charged: of a line, of a verb, of a service and of one request too many", async (t) => {
  const peer = await greeted({ ...refusing, "audit.append": async () => new Promise(() => undefined) });
  const expectCharged = async (line: string): Promise<void> => {
    const before = peer.charged();
    await peer.say(line);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(peer.charged(), before + 1, line.slice(0, 40));
  };
  await expectCharged(request(2, "shell.run"));
  await expectCharged(request(2, "time.nonce"));
  const append = request(3, "audit.append", { event: "agent.started", result: "ok" });
  for (let n = 0; n < PROTOCOL_PENDING_MAX; n++) await peer.say(append);
  t.equal(peer.charged(), 2, "what is served is not");
  await expectCharged(append);
  await expectCharged("no request");
});
