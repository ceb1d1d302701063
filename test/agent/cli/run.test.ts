// The command as a whole, on an agent that answers what a test wants.
import { test } from "tap";
import { runCommand } from "../../../agent/cli/run.ts";
import type { OperationAnswer, OperationRequest } from "../../../agent/operations/format.ts";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import { recordOf } from "../../lab/operations.ts";
import { CONNECTED } from "../../lab/snapshot.ts";
import { smallTrail } from "../../lab/trail.ts";

async function run(line: string, ask: (request: OperationRequest) => OperationAnswer) {
  const asked: { socket: string; request: OperationRequest }[] = [];
  let [out, err] = ["", ""];
  const code = await runCommand(line.split(" "), {
    ask: async (socket, request) => {
      asked.push({ socket, request });
      return ask(request);
    },
    evidence: () => {
      throw new Fault("file.read-failed", "no directory here");
    },
    version: "9.9.9",
    id: () => "cli-1",
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err, asked };
}
const gives = (result: Record<string, unknown>) => (): OperationAnswer => ({ v: 1, id: "cli-1", result });
const refuses = (code: FaultCode, message: string) => (): OperationAnswer => ({ v: 1, id: "cli-1", fault: { code, message } });
const TAIL = {
  head: { size: 812, witnessedSize: 800, dropped: 0 },
  records: [
    recordOf(810, {
      event: "operation.allowed",
      result: "ok",
      principal: "local-root",
      correlation: "cli-1",
      detail: { operation: "status", durationMs: 3 },
    }),
    { ...recordOf(811, { event: "operation.denied", result: "refused", detail: { message: 'a "b"\u001b[2J' } }), synced: false },
  ],
};

test("[OPS-6] status asks one question and prints the screen; --json prints the whole", async (t) => {
  const text = await run("--socket /run/x status", gives(CONNECTED));
  t.equal(text.code, 0);
  t.same(text.asked, [{ socket: "/run/x", request: { v: 1, id: "cli-1", operation: "status", args: {} } }]);
  t.match(text.out, "sallyport-agent/0.1.0: CONNECTED");
  const json = await run("status --json", gives(CONNECTED));
  t.same(JSON.parse(json.out), CONNECTED);
});

test("audit tail prints a line a record; unset clocks are marked, control characters are not printed", async (t) => {
  const { code, out, asked } = await run("audit tail -n 2", gives(TAIL));
  t.equal(code, 0);
  t.match(asked, [{ request: { operation: "audit.tail", args: { count: 2 } } }]);
  t.equal(
    out,
    [
      "812 records, 800 witnessed by the hub, 0 dropped",
      "   810 2026-11-22T04:13:30Z agent  info    operation.allowed    ok      local-root id=cli-1 operation=status durationMs=3",
      '   811 2026-11-22T04:13:31? agent  warning operation.denied     refused - message="a \\"b\\"\\u001b[2J"',
      "",
    ].join("\n"),
  );
  t.same(JSON.parse((await run("audit tail --json", gives(TAIL))).out), TAIL);
});

test("each way to fail has its exit code and says what to do", async (t) => {
  const cases: readonly [string, () => OperationAnswer, number, RegExp][] = [
    ["nonsense", gives({}), 2, /see sallyport --help/],
    [
      "status",
      () => {
        throw new Fault("socket.unreachable", "no agent listens");
      },
      3,
      /no agent listens/,
    ],
    [
      "status",
      () => {
        throw new Fault("socket.denied", "try as root");
      },
      4,
      /try as root/,
    ],
    ["audit tail", refuses("operation.denied", "it takes a technician"), 4, /operation.denied: it takes a technician/],
    ["status", refuses("protocol.closed", "no warden"), 1, /protocol.closed: no warden/],
    ["audit tail", refuses("audit.tampered", "entry 7"), 5, /entry 7/],
    [`audit verify /nowhere --key ${smallTrail("gw-0042", 1).vkey}`, gives({}), 1, /no directory here/],
    ["audit verify /nowhere --key foo", gives({}), 2, /usage\.invalid: --key: expected a verifier key/],
    [
      "status",
      () => {
        throw new RangeError("a defect");
      },
      1,
      /assert.broken: run the command: a defect/,
    ],
  ];
  for (const [line, ask, code, message] of cases) {
    const end = await run(line, ask);
    t.equal(end.code, code, line);
    t.match(end.err, message);
    t.equal(end.out, "");
  }
});

test("[CON-1] an agent that is captured can neither lie about the form nor write on the terminal", async (t) => {
  const wrong = await run("status", gives({ ...CONNECTED, life: "\u001b[2Jfine" }));
  t.equal(wrong.code, 1);
  t.match(wrong.err, /protocol.invalid: answer of the agent to "status" is invalid: life/);
  const loud = await run("status", gives({ ...CONNECTED, troubles: ["\u001b]0;owned\u0007"] }));
  t.match(`${wrong.err}${loud.out}`, /^[\x20-\x7e\n]*$/u);
  t.match((await run("status", refuses("protocol.closed", "\u001b[31m"))).err, "protocol.closed: ?[31m");
});

test("help and version need no agent", async (t) => {
  t.match(await run("--help", gives({})), { code: 0, out: /^usage: sallyport .*Exit codes: 0 ok/s, asked: { length: 0 } });
  t.match(await run("--version", gives({})), { code: 0, out: "sallyport/9.9.9\n" });
});
