// The command line: what is understood, and what is refused with which message.
import { test } from "tap";
import { parseInvocation } from "../../../agent/cli/arguments.ts";
import { DEFAULT_SOCKET } from "../../../agent/cli/usage.ts";
import { parseAgentConfig } from "../../../agent/config.ts";
import { smallTrail } from "../../lab/worlds/trail.ts";

const { vkey: KEY, witnessVkey: WITNESS, key, witness } = smallTrail("gw-0042", 1);

const parse = (line: string) => parseInvocation(line.split(" ").filter((word) => word !== ""));

test("commands and options, in any order", async (t) => {
  t.same(parse("status"), { command: "status", socket: DEFAULT_SOCKET, json: false });
  t.same(parse("--socket /run/x --json status"), { command: "status", socket: "/run/x", json: true });
  t.same(parse("status --socket=/run/x --json"), { command: "status", socket: "/run/x", json: true });
  t.same(parse("identity show --json"), { command: "identity show", socket: DEFAULT_SOCKET, json: true });
  t.same(parse("audit tail"), { command: "audit tail", socket: DEFAULT_SOCKET, json: false, count: undefined });
  t.match(parse("audit tail -n 256"), { count: 256 });
  t.same(parse(`audit verify /d --key ${KEY} --witness ${WITNESS} --checkpoint a --checkpoint b --epoch 0`), {
    command: "audit verify",
    json: false,
    directory: "/d",
    key: key.verifier,
    witness: witness.verifier,
    checkpoints: ["a", "b"],
    epoch: 0,
  });
  t.same(
    [parse("--help"), parse("-h status"), parse("--version")],
    [{ command: "help" }, { command: "help" }, { command: "version" }],
  );
});

const NONCE = "5a".repeat(32);

test("[OPS-7] a command that needs an order names its verb, with or without an answer", async (t) => {
  t.same(parse("reboot --socket /run/x"), {
    command: "order",
    operation: "system.reboot",
    socket: "/run/x",
    json: false,
    answered: undefined,
  });
  t.match([parse("update approve"), parse("update revert")], [{ operation: "update.approve" }, { operation: "update.revert" }]);
  t.match(parse("lockdown confirm --json"), { operation: "lockdown.confirm", json: true });
  t.match(parse(`lockdown revert --challenge sp1/lockdown.revert/gw-0042/${NONCE} --answer a.b.c`), {
    operation: "lockdown.revert",
    answered: { challenge: { verb: "lockdown.revert", deviceId: "gw-0042", nonce: NONCE }, answer: "a.b.c" },
  });
  t.match(parse("order nonce system.reboot"), { command: "order nonce", verb: "system.reboot" });
  t.match(parse("lockdown plan /tmp/p.json"), { command: "lockdown plan", file: "/tmp/p.json" });
  t.match([parse("update status"), parse("lockdown show")], [{ command: "update status" }, { command: "lockdown show" }]);
});

test("a wrong command line is a usage fault that says what was expected", async (t) => {
  const cases: readonly [string, RegExp][] = [
    ["", /no command was given; see sallyport --help/],
    ["stauts", /no command "stauts"/],
    ["status now", /no command "status now"/],
    ["audit", /no command "audit"/],
    ["identity", /no command "identity"/],
    ["identity show --count 3", /--count/],
    ["audit tail 5", /no command "audit tail 5"/],
    ["audit tail -n 0", /-n takes a whole number from 1 to 256, got "0"/],
    ["audit tail -n 257", /from 1 to 256/],
    ["audit tail -n 1e2", /from 1 to 256/],
    ["audit tail -n", /argument missing/],
    ["audit tail --key k", /has no option --key/],
    ["status -n 5", /has no option --count/],
    ["audit verify --key k", /needs DIR/],
    ["audit verify /d", /needs --key/],
    ["audit verify /d --key k --socket /run/x", /has no option --socket/],
    [`audit verify /d --key k ${"--checkpoint c ".repeat(17)}`, /at most 16 times/],
    ["audit verify /d --key foo", /--key: expected a verifier key "name\+id\+base64", got "foo"/],
    [`audit verify /d --key ${KEY}x`, /--key: /],
    [`audit verify /d --key ${WITNESS}`, /--key takes a key of kind ed25519, "sallyport-hub\/test" is of kind cosignature\/v1/],
    [`audit verify /d --key ${KEY} --witness foo`, /--witness: expected a verifier key/],
    [`audit verify /d --key ${KEY} --witness ${KEY}`, /--witness takes a key of kind cosignature/],
    ["update", /no command "update"/],
    ["constructor", /no command "constructor"/],
    ["reboot now", /no command "reboot now"/],
    ["lockdown plan", /needs FILE/],
    ["order nonce", /takes one of lockdown.confirm, /],
    ["order nonce toString", /got "toString"/],
    ["order nonce console.login", /takes one of .*system\.reboot.*, got "console\.login"/],
    ["reboot --answer x", /--challenge and --answer go together/],
    ["reboot --challenge x --answer y", /--challenge: read a challenge: expected sp1/],
    [
      `reboot --challenge sp1/update.approve/g/${NONCE} --answer y`,
      /for "update.approve", but this command needs one for "system.reboot"/,
    ],
    ["status --answer y", /has no option --answer/],
    ["status --force", /Unknown option '--force'/],
    ["status --json=yes", /does not take an argument/],
  ];
  for (const [line, message] of cases) t.throws(() => parse(line), { code: "usage.invalid", message }, line);
});

test("the default socket is the one on which the agent listens by default", async (t) => {
  t.equal(parseAgentConfig("{}", "agent.json").localSocket, DEFAULT_SOCKET);
});
