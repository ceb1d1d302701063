// Login and orders on the console, with real verification, a fake serial line and a fake clock.
import { test } from "tap";
import { startConsole } from "../../../agent/console/index.ts";
import type { SerialPort } from "../../../hal/ports.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { createLoginThrottle } from "../../../agent/console/login-throttle.ts";
import { openConsoleRecord } from "../../../agent/console/record.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { fakeSerialCable } from "../../lab/fakes/serial.ts";
import { deviceId, HANDLERS, watchedOperations } from "../../lab/worlds/operations.ts";
import { operator, createJudgedOrders } from "../../lab/worlds/orders.ts";
import type { TestContext } from "../../lab/runner/context.ts";

const ID = deviceId("gw-0042");
const MINUTE_MS = 60_000;
const alice = operator("alice", "technician");
const maria = operator("maria", "maintainer");
const audra = operator("audra", "auditor");
const guest = operator("gus", "guest");
const PLAN = `sha256:${"ab".repeat(32)}`;
const stranger = operator("mallory", "owner");

/**
 * A console and a person at the cable. `plug` replaces the cable; `type` returns what is printed
 * until nothing more comes.
 */
function atTheCable(t: TestContext) {
  const clock = fakeClock();
  const orders = createJudgedOrders(ID, clock, [alice, maria, audra, guest]);
  let cable = fakeSerialCable();
  let far = cable.host.open();
  let screen = "";
  const port: SerialPort = { open: () => cable.device.open() };
  const entries: AuditEntry[] = [];
  const { operations, entries: performed } = watchedOperations(
    {
      ...HANDLERS,
      "order.nonce": async ({ verb }) => ({ deviceId: ID, ...(await orders.nonce(verb)) }),
      "system.reboot": async ({ order }) => {
        await orders.submit("system.reboot", order);
        return { rebooting: true };
      },
    },
    clock,
  );
  const console = startConsole({
    port,
    operations,
    orders,
    audit: async (entry) => void entries.push(entry),
    clock,
    files: fakeFiles(),
    bootId: async () => "boot",
    host: () => ({ program: "sallyport-agent/0.1.0", deviceId: ID }),
  });
  t.teardown(() => console.stop());

  async function listen(): Promise<void> {
    for await (const bytes of (await far).input) screen += Buffer.from(bytes).toString("latin1");
  }
  void listen();

  async function type(keys: string | Uint8Array): Promise<string> {
    screen = "";
    await (await far).write(Buffer.from(keys));
    for (let seen = -1; seen !== screen.length;) {
      seen = screen.length;
      for (let turn = 0; turn < 4; turn++) await clock.advance(0);
    }
    return screen.replaceAll("\r\n", "\n");
  }

  return {
    clock,
    orders,
    entries,
    performed,
    type,
    async plug(): Promise<void> {
      cable.hangUp();
      cable = fakeSerialCable();
      far = cable.host.open();
      void listen();
      await clock.advance(MINUTE_MS);
      await type("\r");
    },
    /** @returns the challenge that a command shows. */
    async challenge(command: string): Promise<string> {
      const shown = await type(`${command}\r`);
      const [, text] = /\n\nsallyport-hub answer (\S+) --key FILE\n\n/u.exec(shown) ?? [];
      if (text === undefined) throw new Fault("assert.broken", `no challenge in "${shown}"`);
      return text;
    },
    async login(who = alice): Promise<string> {
      await type("\r");
      return type(`${who.answer(await this.challenge("login"))}\r`);
    },
  };
}

test("[CON-4] login shows a challenge with the command to run; after its answer the session is the operator's", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const shown = await at.type("login\r");
  t.match(
    shown,
    /^login\nWithin 15 minutes, run this on the laptop that has your key.*\n\nsallyport-hub answer sp1\/console\.login\/gw-0042\/[0-9a-f]{64} --key FILE\n\nIt prints one line\. Paste/u,
  );
  t.match(shown, /\nanswer> $/u);
  for (const line of shown.split("\n")) if (!line.startsWith("sallyport-hub")) t.ok(line.length < 80, line);
  const challenge = /sp1\S+/u.exec(shown)?.[0] ?? "";
  t.match(await at.type(`${alice.answer(challenge)}\r\n`), /\nLogged in as alice, technician\.\n.*\nalice on gw-0042> $/u);
  t.match(await at.type("status\r"), "hub hub.example.net:8883", "nothing is withheld after a login");
  t.match(await at.type("audit tail 2\r"), "3 records, 1 witnessed by the hub");
  t.match(
    await at.type("help\r"),
    /\n  audit tail \[N\].*\n.*\n  update approve .*\n  update revert .*\n  lockdown .*\n.*\n.*\n  reboot .*\n  key upgrade .*\n  wipe plan .*\n  wipe .*\n  logout /u,
  );
  t.match(await at.type("login\r"), "Logged in as alice, technician. Type");
  t.match(at.performed.at(-1), { event: "operation.allowed", principal: "alice", correlation: /^console-[0-9a-f]{8}-2$/ });
  t.same(at.orders.taken(), ["console.login"]);
  t.equal(await at.type("logout\r"), "logout\nalice is logged out. Press Enter for a new session.\n");
  t.match(at.entries.at(-1), { event: "console.closed", principal: "alice", detail: { reason: "logout" } });
  await at.type("\r");
  t.match(await at.type("status\r"), "hub (withheld)", "the next session is a guest's");
});

test("[CON-4] [CON-5] wrong, foreign, replayed, misused and expired answers are refused by their codes, and the wait doubles", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const old = await at.challenge("login");
  const used = alice.answer(old);
  await at.type(`${used}\r`);
  const reboot = await at.challenge("reboot");
  await at.type("\u0003logout\r");
  await at.type("\r");
  const now = await at.challenge("login");
  const cases: readonly [string, string, RegExp][] = [
    ["signed by a stranger", stranger.answer(now), /order\.bad-signature: no key that this device accepts/],
    ["to another challenge", alice.answer(`${now.slice(0, -2)}00`), /order\.bad-signature/],
    ["replayed", used, /order\.bad-signature/],
    ["for another verb", alice.answer(reboot), /order\.bad-signature/],
    ["for another device", alice.answer(now.replace(ID, "gw-0043")), /order\.bad-signature/],
    ["under another key's id", stranger.answer(now).replace(/^\w+/u, alice.keyid), /order\.bad-signature/],
    ["expired", alice.answer(now, { notAfterS: 1000 }), /order\.expired: .* the time here is 2026-01-01T\S+Z\.\nMake a new one/],
    ["by someone without the right", guest.answer(now), /order\.denied: the key is known here/],
    ["of another form", "hello", /order\.invalid: that is no answer\.\n/],
    ["with too many digits", `${alice.keyid}.999999999999.${"A".repeat(86)}`, /order\.invalid/],
  ];
  let waitS = 1;
  for (const [what, answer, message] of cases) {
    const refused = await at.type(`${answer}\r`);
    t.match(refused, message, what);
    t.match(refused, `\nThe next answer is accepted in ${waitS} s; ^C gives up.\nanswer> `, what);
    await at.clock.advance(waitS * 1000 - 1);
    const submitted = at.orders.refused().length;
    t.match(await at.type(`${alice.answer(now)}\r`), "Not checked: it is too early", `${what}: a correct one, too early`);
    t.equal(at.orders.refused().length, submitted);
    await at.clock.advance(1);
    waitS = Math.min(waitS * 2, 60);
  }
  t.equal(waitS, 60);
  t.same(at.orders.taken(), ["console.login"], "only the first");
  t.equal(at.orders.refused().length, 8, "the warden recorded what it refused");
  const records = at.entries.filter(({ event }) => event === "input.refused");
  t.match(records, [{ principal: "console", detail: { reason: "no answer to the challenge", verb: "console.login" } }, {}]);
  t.equal(records.length, 2, "lines that the warden never saw are recorded here");
  t.match(await at.type(`${alice.answer(now)}\r`), "Logged in as alice", "a refused answer costs no nonce");
  const again = await at.challenge("reboot");
  t.match(await at.type(`${stranger.answer(again)}\r`), "in 1 s", "the login has reset the wait");
});

test("[CON-5] the wait continues after the end of the session and after a pulled cable", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const challenge = await at.challenge("login");
  for (let n = 0; n < 8; n++) {
    await at.type(`${stranger.answer(challenge)}\r`);
    if (n < 7) await at.clock.advance(MINUTE_MS);
  }
  await at.type("\u0003logout\r");
  await at.type("\r");
  t.match(await at.type(`${alice.answer(await at.challenge("login"))}\r`), "Paste it again in 60 s");
  await at.plug();
  t.match(await at.type(`${stranger.answer(await at.challenge("login"))}\r`), "accepted in 60 s");
});

test("[CON-4] an answer after 15 minutes is refused, and needs a new challenge", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const challenge = await at.challenge("login");
  await at.clock.advance(8 * MINUTE_MS);
  await at.type("\u0015");
  await at.type("x\b"); // keeps the session open
  await at.clock.advance(8 * MINUTE_MS);
  const refused = await at.type(`${alice.answer(challenge)}\r`);
  t.match(refused, /order\.replayed: .*too old\.\nType "login" for a new challenge\.\ngw-0042> $/u);
  t.match(at.orders.taken(), []);
});

test("[CON-1] [CON-4] the answer prompt takes CR LF, bracketed paste, spaces, 10,000 characters, garbage, empty lines and ^C", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const challenge = await at.challenge("login");
  t.match(await at.type("\r\n"), "Paste the line that sallyport-hub answer printed");
  t.match(
    await at.type("logout\r"),
    "Paste the line that sallyport-hub answer printed",
    "a command does not count as a refused answer",
  );
  t.match(
    await at.type(`${"x".repeat(10_000)}\r\n`),
    /at most 256 characters; this one was longer and was not read\.\nanswer> $/u,
  );
  const garbage = Uint8Array.from({ length: 250 }, (_, n) => (n * 7 + 128) % 256).filter((byte) => byte !== 3);
  await at.type(garbage);
  t.match(await at.type("\r"), /^[\x20-\x7e\n\u0007\b]*answer> $/u, "no byte of it is echoed as it was");
  t.match(await at.type("\u0003"), "^C\nGiven up.\ngw-0042> ");
  t.match(await at.type(`${alice.answer(challenge)}\r`), 'There is no command "', "an answer without a challenge");
  await at.clock.advance(MINUTE_MS);
  t.match(await at.type(`\u001b[200~  ${alice.answer(await at.challenge("login"))} \u001b[201~\r\n`), "Logged in as alice");
});

test("[CON-10] a hang-up during a login ends it: the next session is a guest's and has no challenge", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  const challenge = await at.challenge("login");
  await at.plug();
  t.match(await at.type(`${alice.answer(challenge)}\r`), 'There is no command "');
  t.same(at.orders.taken(), []);
  t.match(await at.login(), "Logged in as alice");
  await at.plug();
  t.match(at.entries.at(-2), { event: "console.closed", principal: "alice", detail: { reason: "hang-up" } });
  t.match(await at.type("status\r"), "hub (withheld)");
});

test("[CON-4] [CON-5] while the warden is away nobody logs in, no answer counts as refused, and the screen says what to do", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  at.orders.away(true);
  const refused = await at.type("login\r");
  t.match(
    refused,
    /protocol\.closed: this device cannot check a login now\.\nThis was not counted as a refused answer\..*\n.*\ngw-0042> $/u,
  );
  t.notMatch(refused, "/run/", "a guest sees no paths");
  at.orders.away(false);
  const challenge = await at.challenge("login");
  at.orders.away(true);
  t.match(await at.type(`${alice.answer(challenge)}\r`), "protocol.closed: this device cannot check a login now");
  at.orders.away(false);
  t.match(await at.login(), "Logged in as alice", "at once");
});

test("[CON-4] [OPS-4] a login has the rights of its role; for an order the signer counts", async (t) => {
  const at = atTheCable(t);
  t.match(await at.login(audra), "Logged in as audra, auditor.");
  t.notMatch(await at.type("help\r"), /reboot|approve|confirm/u);
  const denied = await at.type("reboot\r");
  t.match(denied, 'operation.denied: "audra" with role auditor may not ask for "system.reboot"');
  t.notMatch(denied, "login");
  t.match(at.performed.at(-1), { event: "operation.denied", principal: "audra", detail: { operation: "system.reboot" } });
  await at.type("logout\r");
  await at.login();
  const challenge = await at.challenge("reboot");
  t.match(challenge, "sp1/system.reboot/gw-0042/");
  t.match(await at.type(`${audra.answer(challenge)}\r`), "order.denied");
  await at.clock.advance(1000);
  t.match(await at.type(`${maria.answer(challenge)}\r`), /\nThis device restarts now\.\nalice on gw-0042> $/u);
  t.same(at.orders.taken(), ["console.login", "console.login", "system.reboot"]);
  t.match(at.performed.at(-1), { principal: "alice", result: "ok", detail: { operation: "system.reboot" } });
});

test("[CON-4] [OPS-9] an order whose subject has changed is refused, and its challenge ends", async (t) => {
  const at = atTheCable(t);
  await at.login();
  at.orders.plan(PLAN);
  const challenge = await at.challenge("reboot");
  t.match(challenge, new RegExp(`/${PLAN}$`, "u"));
  at.orders.plan(PLAN.replaceAll("ab", "cd"));
  t.match(
    await at.type(`${alice.answer(challenge)}\r`),
    /order\.invalid: .* has changed.*\nType "reboot" for a new challenge\.\nalice on/u,
  );
  t.match(await at.type("lockdown confirm\r"), "lockdown.not-pending: no order");
});

test("[CON-10] 5 minutes without a key end the login, line noise does not count as a key, and a challenge waits longer", async (t) => {
  const at = atTheCable(t);
  await at.login();
  await at.clock.advance(5 * MINUTE_MS - 1);
  await at.type("x");
  await at.clock.advance(4 * MINUTE_MS);
  await at.type(new Uint8Array(3));
  t.equal(await at.type(""), "");
  await at.clock.advance(MINUTE_MS);
  t.match(at.entries.at(-1), { event: "console.closed", principal: "alice", detail: { reason: "idle" } });
  await at.type("\r");
  t.match(await at.type("status\r"), "hub (withheld)");
  const challenge = await at.challenge("login");
  await at.clock.advance(15 * MINUTE_MS - 1);
  t.match(await at.type(`${alice.answer(challenge)}\r`), "Logged in as alice");
});

test("[CON-4] a stranger at the cable cannot use up the warden's nonces by asking for challenges", async (t) => {
  const at = atTheCable(t);
  await at.type("\r");
  for (let n = 0; n < 4; n++) {
    await at.challenge("login");
    await at.type("\u0003");
  }
  t.match(await at.type("login\r"), "Too many challenges were asked for. Try again in 60 s.");
  await at.clock.advance(MINUTE_MS);
  await at.challenge("login");
});

test("[CON-12] an operator who is taken out of the roster is logged out at once, with a text and a record", async (t) => {
  const at = atTheCable(t);
  await at.login();
  at.orders.publish([maria, audra]);
  t.match(await at.type("audit tail\r"), /^audit tail\n\nThe roster of this device has changed: alice is logged out\./u);
  t.equal(at.performed.filter(({ principal }) => principal === "alice").length, 0, "the command was not carried out");
  t.match(at.entries.at(-1), { event: "console.closed", principal: "alice", detail: { reason: "roster" } });
  await at.type("\r");
  t.match(await at.type("status\r"), "hub (withheld)", "the next session is a guest's");
});

test("[CON-12] so is one who types nothing, and one whose roles were changed; a warden that is away changes nothing", async (t) => {
  const at = atTheCable(t);
  await at.login();
  at.orders.away(true);
  await at.clock.advance(10_000);
  t.match(await at.type("\r"), /alice on gw-0042> $/u);
  at.orders.away(false);
  at.orders.publish([{ ...alice, roles: ["viewer"] }]);
  await at.clock.advance(2_000);
  t.match(at.entries.at(-1), { event: "console.closed", principal: "alice", detail: { reason: "roster" } });
});

test("[CON-12] so is one who types all the time without Enter, and one who is in the middle of a challenge", async (t) => {
  for (const isAsked of [false, true]) {
    const at = atTheCable(t);
    await at.login();
    if (isAsked) await at.challenge("reboot");
    at.orders.publish([maria]);
    for (let second = 0; second < 3; second += 1) {
      await at.type("x");
      await at.clock.advance(1000);
    }
    const closed = at.entries.find(({ event }) => event === "console.closed");
    t.match(closed, { principal: "alice", detail: { reason: "roster" } }, "the next key opens a guest's session");
  }
});

test("[CON-5] a restart of the agent, or a damaged record, gives a guesser no new start; a login does", async (t) => {
  const clock = fakeClock();
  const files = fakeFiles();
  const onFault = (): void => undefined;
  const restarted = async () => {
    const record = await openConsoleRecord(files, { nowMs: clock.monotonicMs(), bootId: "boot" }, onFault);
    return createLoginThrottle(clock, { stored: record.throttle, store: (state) => record.write(state) });
  };
  const first = await restarted();
  t.equal(first.waitMs(), 0);
  for (let guess = 0; guess < 4; guess += 1) await first.recordRefusal();
  t.equal(first.waitMs(), 8000);
  await clock.advance(3000);
  const second = await restarted();
  t.equal(second.waitMs(), 5000, "what is left of the wait, so that a restart loop does not lengthen it");
  await clock.advance(5000);
  await second.recordRefusal();
  t.equal((await restarted()).waitMs(), 16_000, "and the next one is twice as long all the same");
  await second.reset();
  t.equal((await restarted()).waitMs(), 0);

  await second.recordRefusal();
  files.contents.set("console.json", Buffer.from('{"delayMs":8000,"openAtMs":900000000000,"readable":1,"v":1}'));
  t.equal((await restarted()).waitMs(), 8000, "of a boot before this one: the whole delay again");
  for (const damage of ["", "{", '{"v":2}', '{"v":1,"delayMs":1e9}']) {
    files.contents.set("console.json", Buffer.from(damage));
    t.equal((await restarted()).waitMs(), 60_000, `damaged: ${JSON.stringify(damage).length} bytes`);
  }
});

test("[CON-13] the hint of an earlier boot does not count: after a reboot it is printed at once", async (t) => {
  const files = fakeFiles();
  const open = (bootId: string | undefined) => openConsoleRecord(files, { nowMs: 30_000, bootId }, () => undefined);
  await (await open("one")).write({ hintAtMs: 20_000 });
  t.equal((await open("one")).hintAtMs, 20_000);
  t.equal((await open("two")).hintAtMs, undefined);
  t.equal((await open(undefined)).hintAtMs, undefined);
});
