// The command as a whole, with an agent that gives scripted answers.
import { USAGE } from "../../../agent/cli/usage.ts";
import { TEXT_COLUMNS_MAX } from "../../../hal/format/prose.ts";
import { test } from "tap";
import { runCommand } from "../../../agent/cli/run.ts";
import type { OperationAnswer, OperationRequest } from "../../../agent/operations/format.ts";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import { openOrder } from "../../../warden/orders/format/index.ts";
import { recordOf } from "../../lab/worlds/operations.ts";
import { operator } from "../../lab/worlds/orders.ts";
import { CONNECTED, IDENTITY } from "../../lab/worlds/device-status.ts";
import { smallTrail } from "../../lab/worlds/trail.ts";

async function run(
  line: string,
  ask: (request: OperationRequest) => OperationAnswer,
  typed: (shown: string) => string | undefined = () => undefined,
) {
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
    file: (path) => Buffer.from(`policy in ${path}`),
    privateFile: () => {
      throw new Fault("file.read-failed", "no key here");
    },
    create: () => undefined,
    line: async () => typed(err),
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

test("[ID-57] wipe plan prints what a reset destroys, and the plan in one line for the owner's tool", async (t) => {
  const plan = { v: 1, kind: "reset-plan", deviceId: "gw-1", identity: null, chip: "none", version: null, lost: [], kept: [] };
  const answer = { planHash: `sha256:${"ab".repeat(32)}`, plan };
  const { code, out, asked } = await run("wipe plan", gives(answer));
  t.equal(code, 0);
  t.match(asked, [{ request: { operation: "reset.plan", args: {} } }]);
  t.same(JSON.parse(out.trimEnd().split("\n").at(-1) ?? ""), plan);
  t.same(JSON.parse((await run("--json wipe plan", gives(answer))).out), answer);
});

test("[OPS-6] status makes one request and prints the screen; --json prints all of it", async (t) => {
  const text = await run("--socket /run/x status", gives(CONNECTED));
  t.equal(text.code, 0);
  t.same(text.asked, [{ socket: "/run/x", request: { v: 1, id: "cli-1", operation: "status", args: {} } }]);
  t.match(text.out, "sallyport-agent/0.1.0: CONNECTED");
  const json = await run("status --json", gives(CONNECTED));
  t.same(JSON.parse(json.out), CONNECTED);
});

test("[ID-74] identity show prints the view or its JSON; a key that cannot be used, or a silent warden, is exit code 1", async (t) => {
  const healthy = await run("identity show", gives(IDENTITY));
  t.equal(healthy.code, 0);
  t.match(healthy.asked, [{ request: { operation: "identity.show", args: {} } }]);
  t.match(healthy.out, /^key {5}in the TPM$/mu);
  t.same(JSON.parse((await run("--json identity show", gives(IDENTITY))).out), IDENTITY);
  const { key: _key, ...unusable } = IDENTITY;
  const missing = { ...unusable, keyFault: { code: "key.tpm-missing", message: "TPM missing" }, held: "key.tpm-missing" };
  const broken = await run("identity show --json", gives(missing));
  t.equal(broken.code, 1);
  t.same(JSON.parse(broken.out), missing, "and it is printed all the same");
  const silent = await run("identity show", gives({ ...IDENTITY, unknown: ["birth record: no warden"] }));
  t.equal(silent.code, 1);
  t.match(silent.out, "unknown birth record: no warden\n");
  const hostile = await run("identity show", gives({ ...IDENTITY, key: { ...IDENTITY.key, fingerprint: "sha256:\u001b[2J" } }));
  t.match([hostile.code, hostile.out], [1, ""], "a captured agent's answer is checked");
  t.match(hostile.err, /protocol\.invalid/u);
});

test("audit tail prints one line for each record, marks unset clocks, and prints no control characters", async (t) => {
  const { code, out, asked } = await run("audit tail -n 2", gives(TAIL));
  t.equal(code, 0);
  t.match(asked, [{ request: { operation: "audit.tail", args: { count: 2 } } }]);
  t.equal(
    out,
    [
      "812 records, 800 witnessed by the hub, 0 dropped",
      "   810 2026-11-22T04:13:30Z agent  info    operation.allowed    ok      local-root (says the agent) id=cli-1 operation=status durationMs=3",
      '   811 2026-11-22T04:13:31? agent  warning operation.denied     refused - message="a \\"b\\"\\u001b[2J"',
      "",
    ].join("\n"),
  );
  t.same(JSON.parse((await run("audit tail --json", gives(TAIL))).out), TAIL);
});

test("each failure has its exit code and says what to do", async (t) => {
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

const NONCE = "5a".repeat(32);
const PLAN = `sha256:${"ab".repeat(32)}`;
const alice = operator("alice", "technician");

/** An agent whose warden accepts the orders of alice. */
function agentWith(result: Record<string, unknown>, planHash?: string) {
  const orders: string[] = [];
  const ask = ({ id, operation, args }: OperationRequest): OperationAnswer => {
    if (operation === "order.nonce")
      return { v: 1, id, result: { deviceId: "gw-0042", nonce: NONCE, ...(planHash !== undefined && { planHash }) } };
    try {
      const { order } = openOrder(String(args["order"]), new Map([[alice.keyid, alice.publicKey]]));
      orders.push(`${operation} ${order.verb} ${order.deviceId} ${order.nonce === NONCE} ${order.planHash ?? "-"}`);
      return { v: 1, id, result };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { v: 1, id, fault: { code: error.code, message: error.message } };
    }
  };
  return { ask, orders };
}
const challengeIn = (text: string): string => /sallyport-hub answer (\S+) --key FILE(?: --plan PLAN)?\n/u.exec(text)?.[1] ?? "";

test("[OPS-7] each of the ordered commands shows the challenge, reads its answer, and sends the order", async (t) => {
  const shown = { state: { at: "confirmed", counter: 8 }, open: ["tcp 22"], usb: [] };
  const cases: readonly [string, Record<string, unknown>, string, RegExp][] = [
    ["reboot", { rebooting: true }, "system.reboot", /^This device restarts now\.\n$/u],
    ["wipe", { wiping: true }, "system.wipe", /^This device tells the hub, .* restarts to be wiped\.\n$/u],
    [
      "key upgrade",
      { grant: { order: NONCE, by: "ada", from: `sha256:${NONCE}`, to: "tpm", expires: "2027-03-01T00:00:00.000Z" } },
      "key.upgrade",
      /^This device makes a new key \(tpm\) and asks the hub for its certificate until 2027-03-01\./u,
    ],
    [
      "update approve",
      { phase: "trying", version: "1.2.0", running: "a" },
      "update.approve",
      /^update  1\.2\.0 runs from slot a, TRYING/u,
    ],
    [
      "update revert",
      { phase: "failed", version: "1.2.0", running: "a", detail: "cancelled by alice" },
      "update.revert",
      /FAILED\n +cancelled by alice\n/u,
    ],
    [
      "lockdown confirm",
      shown,
      "lockdown.confirm",
      /^policy  number 8 is in force, confirmed\nopen    tcp 22\nusb     nothing is plugged in\n$/u,
    ],
    ["lockdown revert", shown, "lockdown.revert", /^policy/u],
  ];
  for (const [line, result, verb, text] of cases) {
    const { ask, orders } = agentWith(result, PLAN);
    const end = await run(line, ask, (shown) => `${alice.answer(challengeIn(shown))}  `);
    t.equal(end.code, 0, line);
    t.match(end.out, text);
    t.match(
      end.err,
      `sallyport-hub answer sp1/${verb}/gw-0042/${NONCE}/${PLAN} --key FILE${line === "wipe" ? " --plan PLAN" : ""}\n`,
    );
    t.same(orders, [`${verb} ${verb} gw-0042 true ${PLAN}`]);
  }
});

test("[OPS-7] an answer made elsewhere is accepted; a stranger's answer, none, and nonsense are refused", async (t) => {
  const { ask, orders } = agentWith({ rebooting: true });
  const { out } = await run("order nonce system.reboot", ask);
  t.equal(out, `sp1/system.reboot/gw-0042/${NONCE}\n`, "for a script: only the challenge");
  t.same(JSON.parse((await run("--json order nonce system.reboot", ask)).out), {
    deviceId: "gw-0042",
    nonce: NONCE,
    challenge: out.trim(),
  });
  const given = await run(`--json reboot --challenge ${out.trim()} --answer ${alice.answer(out)}`, ask);
  t.match(given, { code: 0, out: '{"rebooting":true}\n', err: "" });
  t.equal(given.asked.length, 1, "no other nonce is requested");
  const stranger = await run("reboot", ask, (shown) => operator("x", "owner").answer(challengeIn(shown)));
  t.match(stranger, { code: 4, err: /sallyport: order\.bad-signature: / });
  t.match(await run("reboot", ask), { code: 2, err: /no answer was given/ });
  t.match(await run("reboot", ask, () => "yes"), { code: 1, err: /order\.invalid: read an answer: expected one line/ });
  t.equal(orders.length, 1);
});

test("update and policy are shown, and a policy that would be refused gives exit code 1", async (t) => {
  const update = { phase: "idle", version: "1.2.0", running: "a" };
  t.equal((await run("update status", gives(update))).out, "update  1.2.0 runs from slot a, no new release\n");
  t.same(JSON.parse((await run("update status --json", gives(update))).out), update);
  const shown = { state: { at: "base" }, open: [], usb: ["1-1 0781:5581 refused: no rule allows it"] };
  t.equal(
    (await run("lockdown show", gives(shown))).out,
    "policy  the image's own is in force\nopen    nothing\nusb     1-1 0781:5581 refused: no rule allows it\n",
  );
  const preview = { planHash: PLAN, risks: ["the way to the hub would be shut"], opens: [], closes: ["tcp 22"], open: [] };
  const risky = await run("lockdown plan /tmp/p", gives(preview));
  t.match(risky, {
    code: 1,
    out: /\nrisks   the way to the hub would be shut\nopens   nothing\ncloses  tcp 22\n[^]*REFUSE the policy\n$/u,
  });
  t.match(risky.asked, [
    { request: { operation: "lockdown.plan", args: { policy: Buffer.from("policy in /tmp/p").toString("base64") } } },
  ]);
  t.equal((await run("lockdown plan /tmp/p", gives({ ...preview, risks: [] }))).code, 0);
});

test("[CON-11] a captured agent can neither send another form nor control the terminal", async (t) => {
  const wrong = await run("status", gives({ ...CONNECTED, life: "\u001b[2Jfine" }));
  t.equal(wrong.code, 1);
  t.match(wrong.err, /protocol.invalid: answer of the agent to "status" is invalid: life/);
  const loud = await run("status", gives({ ...CONNECTED, troubles: ["\u001b]0;owned\u0007"] }));
  t.match(`${wrong.err}${loud.out}`, /^[\x20-\x7e\n]*$/u);
  t.match((await run("status", refuses("protocol.closed", "\u001b[31m"))).err, "protocol.closed: ?[31m");
});

test("help and version need no agent", async (t) => {
  t.same(
    USAGE.split("\n").filter((line) => line.length > TEXT_COLUMNS_MAX),
    [],
    "the help fits a terminal",
  );
  t.match(await run("--help", gives({})), { code: 0, out: /^usage: sallyport .*Exit codes: 0 ok/s, asked: { length: 0 } });
  t.match(await run("--version", gives({})), { code: 0, out: "sallyport/9.9.9\n" });
});
