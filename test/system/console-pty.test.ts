// The console over a real pseudo-terminal with the real serial driver, both ways. [CON-1] [CON-2]
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { startConsole } from "../../agent/console/index.ts";
import { linuxClock } from "../../hal/linux/index.ts";
import { linuxSerialPort } from "../../hal/linux/serial/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { fakeFiles } from "../lab/fakes/files.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { deviceId, HANDLERS, watchedOperations } from "../lab/worlds/operations.ts";
import { operator, createJudgedOrders } from "../lab/worlds/orders.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";

/**
 * The technician's terminal: a plain open file instead of our driver, so that both ends do not
 * share a mistake.
 */
async function terminal(path: string) {
  const file = await open(path, "r+");
  const received = createReadStream(path, { highWaterMark: 512 });
  let screen = "";
  let from = 0;
  received.on("data", (chunk) => {
    screen += chunk.toString("latin1");
  });
  received.on("error", () => {}); // EIO: the cable was pulled.
  return {
    type: (keys: string) => file.write(keys),
    /** @returns the output since the last call, up to and with `text`. */
    async sees(text: string): Promise<string> {
      const end = await eventually(`${JSON.stringify(text)} on the screen`, async () => {
        const at = screen.indexOf(text, from);
        return at < 0 ? undefined : at;
      });
      const seen = screen.slice(from, end + text.length);
      from = end + text.length;
      return seen;
    },
    async close() {
      received.destroy();
      await file.close();
    },
  };
}

function startOn(path: string, files = fakeFiles()) {
  const entries: AuditEntry[] = [];
  const id = deviceId("gw-0042");
  const alice = operator("alice", "technician");
  const orders = createJudgedOrders(id, linuxClock(), [alice]);
  const { operations } = watchedOperations({
    ...HANDLERS,
    "order.nonce": async ({ verb }) => ({ deviceId: id, ...(await orders.nonce(verb)) }),
    "system.reboot": async ({ order }) => {
      await orders.submit("system.reboot", order);
      return { rebooting: true };
    },
  });
  const console = startConsole({
    port: linuxSerialPort({ path, baudRate: 115_200 }),
    operations,
    orders,
    audit: async (entry) => void entries.push(entry),
    clock: linuxClock(),
    files,
    bootId: async () => "boot",
    host: () => ({ program: "sallyport-agent/0.1.0", deviceId: id }),
  });
  return { console, entries, alice, orders };
}

test(
  "[CON-1] [CON-3] a technician reads the status on a real serial line, mistypes, and sends an endless line",
  { skip: needs("socat") },
  async (t) => {
    const cable = await startPtyPair();
    t.teardown(() => cable.stop());
    const { console, entries } = startOn(cable.devicePath);
    const far = await terminal(cable.hostPath);
    t.match(await far.sees("press Enter\r\n"), "gw-0042: serial console");
    await far.type("\r");
    t.match(await far.sees("gw-0042> "), "Authorised use only. What is done here is recorded.\r\n");
    await far.type("stauts\b\b\b\batus\r");
    const status = await far.sees("gw-0042> ");
    t.match(status, "sallyport-agent/0.1.0: CONNECTED");
    t.match(status, "hub (withheld), peer (withheld)\r\n");
    t.ok(status.length < 2048, `${status.length} bytes with echo and prompt`);
    await far.type("status --json\r");
    const json: unknown = JSON.parse((await far.sees("}\r\n")).split("\r\n")[1] ?? "");
    t.match(json, { v: 1, life: "connected", device: { id: "gw-0042" } });
    await far.type(`${"x".repeat(3000)}\r`);
    t.match(await far.sees("was not read.\r\n"), "A line has at most 256 characters");
    await far.type("sh\r");
    t.match(await far.sees("commands.\r\n"), 'There is no command "sh"');
    await far.close();
    await console.stop();
    t.match(entries, [{ event: "console.opened" }, { event: "input.refused" }, { event: "console.closed" }]);
    t.equal(entries.length, 3);
  },
);

test(
  "[CON-4] [CON-10] [CON-5] a technician logs in on a real serial line after a wrong answer, reboots by an order, logs out",
  { skip: needs("socat") },
  async (t) => {
    const cable = await startPtyPair();
    t.teardown(() => cable.stop());
    const { console, entries, alice, orders } = startOn(cable.devicePath);
    t.teardown(() => console.stop());
    const far = await terminal(cable.hostPath);
    const challenge = async (): Promise<string> => {
      const [, shown = ""] = /\r\nsallyport-hub answer (\S+) --key FILE\r\n/u.exec(await far.sees("answer> ")) ?? [];
      return shown;
    };
    await far.sees("press Enter\r\n"); // Keys that are typed before the port is open are lost.
    await far.type("\rlogin\r");
    const first = await challenge();
    await far.type(`${operator("mallory", "owner").answer(first)}\r\n`);
    t.match(await far.sees("answer> "), "order.bad-signature");
    // [CON-5] The device asked for a second. That an answer before it is refused is proven on a
    // fake clock.
    await sleep(1100);
    await far.type(`${alice.answer(first)}\r\n`);
    t.match(await far.sees("alice on gw-0042> "), "Logged in as alice, technician.");
    await far.type("reboot\r");
    await far.type(`${alice.answer(await challenge())}\r`);
    t.match(await far.sees("alice on gw-0042> "), "This device restarts now.");
    await far.type("logout\r");
    await far.sees("for a new session.\r\n");
    await far.close();
    await console.stop();
    t.same([orders.taken(), orders.refused()], [["console.login", "system.reboot"], ["order.bad-signature"]]);
    t.match(entries, [
      { event: "console.opened" },
      { event: "console.closed", principal: "alice", detail: { reason: "logout" } },
    ]);
  },
);

test(
  "[CON-13] an agent that starts again and again eats no typed line, prints its hint once, and keeps the wait",
  { skip: needs("socat") },
  async (t) => {
    const cable = await startPtyPair();
    t.teardown(() => cable.stop());
    const files = fakeFiles();
    const far = await terminal(cable.hostPath);
    const first = startOn(cable.devicePath, files);
    await far.sees("press Enter\r\n");
    await far.type("\r");
    await far.sees("gw-0042> ");
    await first.console.stop();
    for (let start = 0; start < 5; start += 1) {
      await far.type("status\r");
      await sleep(50); // through the pseudo-terminals, while nobody has the line open
      const again = startOn(cable.devicePath, files);
      const seen = await far.sees("CONNECTED");
      t.notMatch(seen, "press Enter", "the hint was printed less than a minute ago");
      await far.sees("gw-0042> ");
      await again.console.stop();
    }
    await far.close();
  },
);

test(
  "[CON-2] pulling the cable ends the session; the console waits, and stops when it is told to",
  { skip: needs("socat") },
  async (t) => {
    const cable = await startPtyPair();
    const { console, entries } = startOn(cable.devicePath);
    const far = await terminal(cable.hostPath);
    // Opening the line flushes its input, so a key that is pressed in that moment is lost.
    await far.sees("press Enter\r\n");
    await far.type("\r");
    await far.sees("gw-0042> ");
    await cable.stop();
    await eventually("the session is over", async () =>
      entries.length >= 2 && console.troubles().length > 0 ? true : undefined,
    );
    t.match(entries, [{ event: "console.opened" }, { event: "console.closed" }]);
    t.equal(entries.length, 2);
    t.match(console.troubles(), [{ code: "serial.open-failed" }]);
    await far.close();
    await console.stop();
  },
);
