// A console session: its input as bytes, and its output as the terminal gets it.
import { test } from "tap";
import { createTimedReader } from "../../../agent/console/timed-reader.ts";
import { serveSession } from "../../../agent/console/session.ts";
import { IDLE_MS_MAX } from "../../../agent/console/limits.ts";
import { promptText } from "../../../agent/console/screen.ts";
import type { Clock } from "../../../hal/ports.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { createLoginThrottle } from "../../../agent/console/login-throttle.ts";
import { CLOCK, deviceId, HANDLERS, watchedOperations } from "../../lab/worlds/operations.ts";
import { NO_ORDERS } from "../../lab/worlds/orders.ts";
import { CONNECTED } from "../../lab/worlds/device-status.ts";

const HOST = { program: "sallyport-agent/0.1.0", deviceId: deviceId("gw-0042") };

async function type(typed: readonly string[], options: { handlers?: typeof HANDLERS; clock?: Clock; open?: boolean } = {}) {
  const { operations, entries: performed } = watchedOperations(options.handlers ?? HANDLERS);
  const [first = "", ...rest] = typed;
  const clock = options.clock ?? CLOCK;
  async function* input(): AsyncGenerator<Uint8Array> {
    for (const chunk of rest) yield Buffer.from(chunk);
    if (options.open === true) await new Promise(() => {});
  }
  const entries: AuditEntry[] = [];
  let screen = "";
  const end = await serveSession(
    {
      reader: createTimedReader(input(), clock),
      print: async (text) => void (screen += text),
      operations,
      orders: NO_ORDERS,
      throttle: createLoginThrottle(clock),
      record: async (entry) => void entries.push(entry),
      clock,
      host: () => HOST,
    },
    Buffer.from(first),
  );
  return { screen, end, entries, performed };
}

test("[CON-3] the banner states device and terms before the first prompt, and Enter shows one prompt", async (t) => {
  const { screen } = await type(["\r", "\n"]);
  t.equal(
    screen,
    '\nsallyport-agent/0.1.0 on gw-0042\nAuthorised use only. What is done here is recorded.\nType "help" for the commands.\n\ngw-0042> ',
  );
});

test("[CON-3] [CON-4] help lists what a guest may do: help, login and status", async (t) => {
  const { screen, performed } = await type(["help\r"]);
  t.match(
    screen,
    /gw-0042> help\n  help +this list\n  login +log in .*\n  status +the state of this device\n  status --json .*\n  \^C/u,
  );
  t.same(performed, [], "and performs no operation");
});

test("[OPS-5] [CON-3] status is performed as an operation of the guest, with the session in its id", async (t) => {
  const { screen, performed, entries } = await type(["sta", "tus\r"]);
  t.match(screen, "gw-0042> status\nsallyport-agent/0.1.0: CONNECTED");
  t.match(screen, "hub (withheld)");
  t.match(performed, [{ event: "operation.allowed", principal: "console", correlation: `${entries[0]?.correlation ?? "?"}-1` }]);
  t.equal(performed.length, 1);
});

test("[CON-11] status --json is one line of ASCII with the redacted status", async (t) => {
  const model = "Gateway \u001b[2J \u00e9";
  const handlers = {
    ...HANDLERS,
    status: async () => ({ ...CONNECTED, ...(CONNECTED.device && { device: { ...CONNECTED.device, model } }) }),
  };
  const { screen } = await type(["status --json\r"], { handlers });
  t.match(screen, /^[\x20-\x7e\n]*$/u);
  const json: unknown = JSON.parse(screen.split("\n").find((line) => line.startsWith("{")) ?? "");
  t.match(json, { v: 1, device: { model }, tunnel: { hub: "(withheld)" } });
});

test("[CON-3] there is no shell: every line that is not a command is refused as unknown", async (t) => {
  for (const line of [
    "sh",
    "status; reboot",
    "$(reboot)",
    "STATUS",
    "audit",
    "audit tail -n",
    "status 5",
    "status --all",
    "__proto__",
    "constructor",
  ]) {
    const { screen, performed } = await type([`${line}\r`]);
    t.match(screen, `There is no command "${line}".`);
    t.same(performed, []);
  }
});

test("[CON-3] [OPS-5] the operations deny a guest what needs a login, and record it; the screen says what to do", async (t) => {
  for (const [line, operation] of [
    ["audit tail 5", "audit.tail"],
    ["update", "update.status"],
    ["lockdown", "lockdown.show"],
    ["reboot", "system.reboot"],
    ["lockdown  revert", "lockdown.revert"],
    ["update revert", "update.revert"],
    ["key upgrade", "key.upgrade"],
  ] as const) {
    const { screen, performed } = await type([`${line}\r`]);
    t.match(screen, `operation.denied: "console" with role guest may not ask for "${operation}"`);
    t.match(screen, '\nType "login" first.\n');
    t.match(performed, [{ event: "operation.denied", principal: "console", detail: { operation } }]);
  }
});

test("[CON-1] a line that is too long is refused with a message and recorded", async (t) => {
  const { screen, entries } = await type([`${"x".repeat(400)}\r`, "status\r"]);
  t.match(screen, "A line has at most 256 characters");
  t.match(screen, "CONNECTED");
  t.match(entries, [
    { event: "console.opened" },
    { event: "input.refused", detail: { reason: "line too long" } },
    { event: "console.closed", detail: { reason: "hang-up" } },
  ]);
  t.equal(entries.length, 3);
});

test("a flood of commands is refused, and recorded once", async (t) => {
  const { screen, performed, entries } = await type(["status\r".repeat(60)]);
  t.ok(performed.length >= 10 && performed.length < 30, `${performed.length} were performed`);
  t.match(screen, "Too many commands at once. Try again in 1 s.\n");
  t.equal(entries.filter(({ event }) => event === "input.refused").length, 1);
});

test("the session is recorded from the first key to the hang-up, under one correlation", async (t) => {
  const { end, entries } = await type(["\r"]);
  t.equal(end, "hang-up");
  t.match(entries, [{ event: "console.opened", result: "ok", principal: "console" }, { event: "console.closed" }]);
  t.equal(entries.length, 2);
  t.equal(entries[0]?.correlation, entries[1]?.correlation);
});

test("a session in which nobody types ends", async (t) => {
  const clock = fakeClock();
  const session = type(["\r"], { clock, open: true });
  await clock.advance(IDLE_MS_MAX);
  const { end, screen } = await session;
  t.equal(end, "idle");
  t.match(screen, "Nobody typed for 10 minutes: session closed.");
});

test("a guest sees the code of a fault without its message", async (t) => {
  const handlers = { ...HANDLERS, status: () => Promise.reject(new Fault("protocol.closed", "no warden at /run/x")) };
  const { screen } = await type(["status\r"], { handlers });
  t.match(screen, "protocol.closed: the operation failed; the audit trail says more\n");
});

test("^C and ^L have their effect on the screen", async (t) => {
  const { screen } = await type(["xx\u0003st\u000catus\u0003"]);
  t.match(screen, "gw-0042> xx^C\ngw-0042> st\ngw-0042> status^C\ngw-0042> ");
});

test("a device that does not know its id yet has a prompt too", async (t) => {
  t.equal(promptText({ program: "x", deviceId: undefined }), "sallyport> ");
});

test("[CON-13] held keys do not fill the line: what they cause is bounded in bytes, and the console answers afterwards", async (t) => {
  const held: Readonly<Record<string, string>> = {
    "^L with a full line": `${"x".repeat(200)}${"\u000c".repeat(4000)}\u0015`,
    "^L and a letter": `${"a\u000c".repeat(120)}\u0015`,
    "^C": "\u0003".repeat(4000),
    Enter: "\r".repeat(4000),
    "refused lines": "nonsense\r".repeat(450),
  };
  for (const [what, keys] of Object.entries(held)) {
    const clock = { ...CLOCK, ms: 0, monotonicMs: () => clock.ms };
    const later = {
      ...HANDLERS,
      status: async () => {
        return CONNECTED;
      },
    };
    const quiet = await type(["\r"], { clock, handlers: later });
    const flooded = await type(["\r", keys], { clock, handlers: later });
    const bytes = flooded.screen.length - quiet.screen.length;
    t.ok(bytes <= 4 * keys.length + 16_384, `${what}: ${bytes} bytes for ${keys.length}`);
  }
  const clock = { ...CLOCK, ms: 0, monotonicMs: () => clock.ms };
  async function* keys(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("\u000c".repeat(4000));
    clock.ms += 5000;
    yield Buffer.from("status\r");
  }
  let screen = "";
  await serveSession(
    {
      reader: createTimedReader(keys(), CLOCK),
      print: async (text) => void (screen += text),
      operations: watchedOperations().operations,
      orders: NO_ORDERS,
      throttle: createLoginThrottle(clock),
      record: async () => undefined,
      clock,
      host: () => HOST,
    },
    Buffer.from("\r"),
  );
  t.match(screen, /CONNECTED[^]*gw-0042> $/u);
});
