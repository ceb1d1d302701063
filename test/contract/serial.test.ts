// The contract of both serial ports: the kernel's (two ptys joined by socat) and the fake.
import { join } from "node:path";
import { tmpdir } from "node:os";
import { test } from "tap";
import { linuxSerialPort } from "../../hal/linux/serial/index.ts";
import type { SerialConnection, SerialPort } from "../../hal/ports.ts";
import { fakeSerialCable } from "../lab/fakes/serial.ts";
import { needs } from "../lab/runner/needs.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";

interface Cable {
  readonly device: SerialPort;
  readonly host: SerialPort;
  readonly hangUp: () => Promise<void>;
}

interface Subject {
  readonly name: string;
  readonly skip: string | false;
  readonly lay: () => Promise<Cable>;
}

const baudRate = 115_200;

const SUBJECTS: readonly Subject[] = [
  {
    name: "kernel",
    skip: needs("socat"),
    lay: async () => {
      const { devicePath, hostPath, stop } = await startPtyPair();
      const [device, host] = [linuxSerialPort({ path: devicePath, baudRate }), linuxSerialPort({ path: hostPath, baudRate })];
      return { device, host, hangUp: stop };
    },
  },
  {
    name: "fake",
    skip: false,
    lay: async () => {
      const { device, host, hangUp } = fakeSerialCable();
      return { device, host, hangUp: async () => hangUp() };
    },
  },
];

/** Continues where the last call stopped. */
function reader({ input }: SerialConnection): {
  readonly take: (bytes: number) => Promise<Buffer>;
  readonly ended: () => Promise<boolean>;
} {
  const iterator: AsyncIterator<Uint8Array, unknown> = input[Symbol.asyncIterator]();
  let rest = Buffer.alloc(0);
  return {
    take: async (bytes) => {
      const parts = [rest];
      for (let have = rest.byteLength; have < bytes;) {
        const next = await iterator.next();
        if (next.done === true) break;
        parts.push(Buffer.from(next.value));
        have += next.value.byteLength;
      }
      const all = Buffer.concat(parts);
      rest = all.subarray(bytes);
      return all.subarray(0, bytes);
    },
    ended: async () => (await iterator.next()).done === true,
  };
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, value) => value));

for (const { name, skip, lay } of SUBJECTS)
  test(`serial port, ${name}`, { skip }, async (t) => {
    await t.test("every byte passes unchanged, both ways", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const [device, host] = [await cable.device.open(), await cable.host.open()];
      const [atDevice, atHost] = [reader(device), reader(host)];
      await device.write(everyByte);
      t.same(await atHost.take(256), everyByte);
      await host.write(everyByte);
      t.same(await atDevice.take(256), everyByte);
      await host.write(new Uint8Array());
      await Promise.all([device.close(), host.close()]);
    });

    await t.test("writes that are not awaited keep their order", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const [device, host] = [await cable.device.open(), await cable.host.open()];
      const lines = Array.from({ length: 50 }, (_, index) => `line ${index}\n`);
      const writes = lines.map((line) => device.write(Buffer.from(line)));
      const expected = lines.join("");
      t.equal((await reader(host).take(expected.length)).toString(), expected);
      await Promise.all(writes);
      await Promise.all([device.close(), host.close()]);
    });

    await t.test("with much more than the kernel's buffer, the writer waits for the reader and nothing is lost", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const [device, host] = [await cable.device.open(), await cable.host.open()];
      const large = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff));
      const state = { written: false };
      const write = device.write(large).then(() => (state.written = true));
      const far = reader(host);
      const first = await far.take(1000);
      t.equal(state.written, false, "none of it is buffered in our memory");
      t.ok(large.equals(Buffer.concat([first, await far.take(large.byteLength - 1000)])));
      await write;
      await Promise.all([device.close(), host.close()]);
    });

    await t.test("[CON-2] a line that hangs up ends the input and refuses writes, also a write that waits", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const device = await cable.device.open();
      const ended = reader(device).ended();
      const waiting = device.write(Buffer.alloc(300_000));
      const refused = t.rejects(waiting, { code: "serial.closed" });
      await cable.hangUp();
      t.equal(await ended, true);
      await refused;
      await t.rejects(device.write(Buffer.from("x")), { code: "serial.closed" });
      await device.close();
      await t.rejects(cable.device.open(), { code: "serial.open-failed" });
    });

    await t.test("[CON-2] a hang-up while nobody reads or writes is found by the next read or write", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const [device, host] = [await cable.device.open(), await cable.host.open()];
      await cable.hangUp();
      t.equal(await reader(device).ended(), true);
      await t.rejects(host.write(Buffer.from("x")), { code: "serial.closed" });
      await Promise.all([device.close(), host.close()]);
    });

    await t.test(
      "close ends the input and a write that waits; closing twice does no harm; the line can be opened again",
      async (t) => {
        const cable = await lay();
        t.teardown(cable.hangUp);
        const device = await cable.device.open();
        const ended = reader(device).ended();
        const refused = t.rejects(device.write(Buffer.alloc(300_000)), { code: "serial.closed" });
        await device.close();
        t.equal(await ended, true);
        await refused;
        await device.close();
        await t.rejects(device.write(Buffer.from("x")), { code: "serial.closed" });
        const again = await cable.device.open();
        await again.close();
      },
    );

    await t.test("an open line cannot be opened a second time", async (t) => {
      const cable = await lay();
      t.teardown(cable.hangUp);
      const device = await cable.device.open();
      await t.rejects(cable.device.open(), { code: "serial.open-failed" });
      await device.close();
    });
  });

test("a path that is no serial line is refused", async (t) => {
  const missing = linuxSerialPort({ path: join(tmpdir(), "no-such-line"), baudRate });
  await t.rejects(missing.open(), {
    code: "serial.open-failed",
    message: /^open the serial line ".*no-such-line" at 115200 baud: .*No such file/,
  });
  await t.rejects(linuxSerialPort({ path: "/dev/null", baudRate }).open(), { code: "serial.open-failed" });
});
