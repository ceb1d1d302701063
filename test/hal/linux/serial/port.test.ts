// What only the kernel's lines can show: waking a process that has nothing else to do, and bounds.
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { linuxSerialPort } from "../../../../hal/linux/serial/index.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { startProgram } from "../../../lab/runner/process.ts";
import { startPtyPair } from "../../../lab/counterparts/pty.ts";

const skip = needs("socat");
const CHILD = fileURLToPath(new URL("echo-child.ts", import.meta.url));
const baudRate = 115_200;

test("a process with no timer and no other event answers line after line, and ends after the hang-up", { skip }, async (t) => {
  const cable = await startPtyPair();
  t.teardown(cable.stop);
  const host = await linuxSerialPort({ path: cable.hostPath, baudRate }).open();
  const child = startProgram({ name: "echo", command: process.execPath, args: [CHILD, cable.devicePath] });
  t.teardown(() => child.stop("SIGKILL"));
  const heard = { text: "" };
  const input = host.input[Symbol.asyncIterator]();
  const hear = async (text: string): Promise<void> => {
    while (!heard.text.endsWith(text)) {
      const next = await input.next();
      if (next.done === true) break;
      heard.text += Buffer.from(next.value).toString("latin1");
    }
    t.ok(heard.text.endsWith(text), text.trim());
  };
  await hear("ready\n");
  for (const word of ["status", "help", "status again"]) {
    await host.write(Buffer.from(`${word}\n`));
    await hear(`${word.toUpperCase()}\n`);
  }
  await cable.stop();
  t.same(await child.ended, { code: 0, signal: null });
  t.same(child.lines, []);
  await host.close();
});

test("writes that no caller awaits are refused once 64 KiB are waiting", { skip }, async (t) => {
  const cable = await startPtyPair();
  t.teardown(cable.stop);
  const port = await linuxSerialPort({ path: cable.devicePath, baudRate }).open();
  const first = port.write(Buffer.alloc(60_000));
  const second = port.write(Buffer.alloc(5_536));
  await t.rejects(port.write(Buffer.from("x")), { code: "serial.overrun", message: /65536 bytes are waiting already/ });
  const ended = Promise.all([first, second].map((write) => t.rejects(write, { code: "serial.closed" })));
  await port.close();
  await ended;
});
