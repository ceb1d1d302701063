// A program that has nothing but a serial line: no timer, no socket, and no other event that could
// hide a line which does not wake the process. It echoes what it receives in capitals until the
// line hangs up, then closes and ends by itself.
import { linuxSerialPort } from "../../../../hal/linux/serial/index.ts";

const line = await linuxSerialPort({ path: process.argv[2] ?? "", baudRate: 115_200 }).open();
await line.write(Buffer.from("ready\n"));
for await (const bytes of line.input) await line.write(Buffer.from(Buffer.from(bytes).toString("latin1").toUpperCase()));
await line.close();
