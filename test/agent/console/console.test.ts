// The console's serial port: opened, hung up, and opened again.
import { test } from "tap";
import { startConsole } from "../../../agent/console/index.ts";
import { Fault } from "../../../hal/fault.ts";
import type { SerialConnection, SerialPort } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { type FakeCable, fakeSerialCable } from "../../lab/fakes/serial.ts";
import { deviceId, watchedOperations } from "../../lab/worlds/operations.ts";
import { NO_ORDERS } from "../../lab/worlds/orders.ts";

/** A port that takes the next cable at each opening; undefined makes the opening fail. */
function portOver(cables: readonly (FakeCable | undefined)[]): { readonly port: SerialPort; readonly openings: () => number } {
  let openings = 0;
  const port: SerialPort = {
    async open() {
      const cable = cables[openings];
      openings += 1;
      if (cable === undefined) throw new Fault("serial.open-failed", 'open the serial line "/dev/ttyUSB0": no such file');
      return cable.device.open();
    },
  };
  return { port, openings: () => openings };
}

function start(cables: readonly (FakeCable | undefined)[], audit?: () => Promise<void>) {
  const clock = fakeClock();
  const { port, openings } = portOver(cables);
  const entries: AuditEntry[] = [];
  const record = audit ?? (async (entry: AuditEntry) => void entries.push(entry));
  const { operations } = watchedOperations();
  const bootId = async () => "boot";
  const host = () => ({ program: "sallyport-agent/0.1.0", deviceId: deviceId("gw-0042") });
  return {
    clock,
    openings,
    entries,
    console: startConsole({ port, operations, orders: NO_ORDERS, audit: record, files: fakeFiles(), bootId, clock, host }),
  };
}

/** Continues to read where the last call stopped, until the text ends with `until`. */
function reader({ input }: SerialConnection): (until: string) => Promise<string> {
  const bytes = input[Symbol.asyncIterator]();
  return async (until) => {
    let text = "";
    while (!text.endsWith(until)) {
      const next = await bytes.next();
      if (next.done === true) return text;
      text += Buffer.from(next.value).toString("latin1");
    }
    return text;
  };
}

test("[CON-1] [CON-3] a plugged line shows a hint, the first key shows the banner, and only then is a session recorded", async (t) => {
  const cable = fakeSerialCable();
  const { console, entries } = start([cable]);
  const far = await cable.host.open();
  const read = reader(far);
  t.equal(await read("Enter\r\n"), "\r\ngw-0042: serial console, press Enter\r\n");
  t.same(entries, []);
  await far.write(Buffer.from("status\r"));
  const screen = await read("none\r\ngw-0042> ");
  t.match(screen, "Authorised use only");
  t.match(screen, "gw-0042> status\r\nsallyport-agent/0.1.0: CONNECTED");
  t.notMatch(screen, /[^\r]\n/u, "every line ends in CR LF");
  await console.stop();
  t.match(entries, [{ event: "console.opened" }, { event: "console.closed" }]);
  t.equal(entries.length, 2);
});

test("[CON-2] a hang-up ends the session, and the port is opened again for the next one", async (t) => {
  const [first, second] = [fakeSerialCable(), fakeSerialCable()];
  const { console, entries, clock } = start([first, second]);
  const far = await first.host.open();
  await far.write(Buffer.from("\r"));
  await reader(far)("gw-0042> ");
  first.hangUp();
  await clock.advance(500);
  t.match(entries, [{ event: "console.opened" }, { event: "console.closed" }]);
  t.equal(entries.length, 2);
  t.match(await reader(await second.host.open())("Enter\r\n"), "press Enter");
  await console.stop();
  t.equal(entries.length, 2, "no session without a key");
});

test("[CON-2] a port that does not open is tried again without end, with a growing wait, and is reported until it opens", async (t) => {
  const cable = fakeSerialCable();
  const { console, openings, clock } = start([...Array.from({ length: 9 }, () => undefined), cable]);
  await clock.advance(0);
  t.equal(openings(), 1);
  t.match(console.troubles(), [{ code: "serial.open-failed", message: /^console: open the serial line/ }]);
  const waits: number[] = [];
  while (openings() < 10) {
    const waitMs = clock.nextWakeMs ?? 0;
    waits.push(waitMs);
    await clock.advance(waitMs);
  }
  t.same(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  t.same(console.troubles(), []);
  await console.stop();
});

test("a trail that takes no records does not close the console, and is reported", async (t) => {
  const cable = fakeSerialCable();
  const { console } = start([cable], () => Promise.reject(new Fault("audit.full", "the trail is full")));
  const far = await cable.host.open();
  await far.write(Buffer.from("help\r"));
  t.match(await reader(far)("logged in.\r\ngw-0042> "), "this list");
  t.match(console.troubles(), [{ code: "audit.full" }]);
  await console.stop();
});

test("stop ends a console that waits, one whose output nobody reads, and one that was stopped before", async (t) => {
  const waiting = start([undefined]);
  await waiting.console.stop();
  await waiting.console.stop();

  const cable = fakeSerialCable();
  const unread = start([cable]);
  const far = await cable.host.open();
  await far.write(Buffer.from("\r".repeat(2000)));
  await unread.clock.advance(1);
  await unread.console.stop();
  t.match(unread.entries.at(-1), { event: "console.closed" });
});

test("a programming error is not mistaken for a bad line: it ends the console", async (t) => {
  const broken: SerialPort = { open: () => Promise.reject(new RangeError("programming error")) };
  const { operations } = watchedOperations();
  const console = startConsole({
    port: broken,
    operations,
    orders: NO_ORDERS,
    audit: async () => {},
    files: fakeFiles(),
    bootId: async () => "boot",
    clock: fakeClock(),
    host: () => ({ program: "x", deviceId: undefined }),
  });
  await t.rejects(console.stop(), { message: "programming error" });
});

test("[ID-73] an alarm is printed on the cable without a key, once, after a session that it came up in, and on every banner until it is over", async (t) => {
  const cable = fakeSerialCable();
  const { console, entries } = start([cable]);
  const far = await cable.host.open();
  const read = reader(far);
  await read("Enter\r\n");
  console.alarm("TPM missing");
  const line = 'gw-0042: ATTENTION: TPM missing; "status" says more\r\n';
  t.equal(await read("more\r\n"), `\r\n${line}`);
  t.same(entries, [], "and that is no session");
  console.alarm("TPM missing");
  await far.write(Buffer.from("\r"));
  const banner = await read("gw-0042> ");
  t.equal(banner.split(line).length, 2, "the banner has it, and the same words came once only");
  console.alarm("not this board");
  await far.write(Buffer.from("logout\r"));
  const after = await read("more\r\n");
  t.match(after, /session closed\. Press Enter for a new one\.\r\n\r\ngw-0042: ATTENTION: not this board/u);
  console.alarm(undefined);
  await far.write(Buffer.from("\r"));
  t.notMatch(await read("gw-0042> "), /ATTENTION/u);
  await console.stop();
});
