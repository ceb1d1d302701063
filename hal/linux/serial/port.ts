// The serial port of hal/ports.ts, on an open line.
import { Fault } from "../../fault.ts";
import type { SerialConnection, SerialPort } from "../../ports.ts";
import { createMutex } from "../../mutex.ts";
import { type SerialLine, type SerialLineOptions, openLine } from "./line.ts";

/**
 * Bytes of all writes that wait behind another. At 115,200 baud 64 KiB take six seconds: a caller
 * that is further ahead does not wait for its writes.
 */
const WAITING_BYTES_MAX = 65_536;

/**
 * A tty. Received bytes wait in the kernel until `input` is read, so a slow reader costs no memory.
 * `input` can be iterated once. Writes go out one after another, and each resolves for its caller.
 * They do not wait for a drain: tcdrain(3) would hold one of Node's four threads for as long as the
 * far end stops the flow. `close` is needed after a hang-up too.
 * @param options.baudRate bits a second.
 * @throws Fault from `write`, besides `serial.closed`: `serial.overrun` when more than 64 KiB would
 *   wait behind another write.
 */
export function linuxSerialPort(options: SerialLineOptions): SerialPort {
  return { open: async () => connection(await openLine(options), options.path) };
}

function connection(line: SerialLine, path: string): SerialConnection {
  const exclusively = createMutex();
  let waitingBytes = 0;
  return {
    input: received(line),
    write: async (bytes) => {
      if (waitingBytes > 0 && waitingBytes + bytes.byteLength > WAITING_BYTES_MAX)
        throw new Fault(
          "serial.overrun",
          `write to the serial line "${path}": ${waitingBytes} bytes are waiting already; wait for earlier writes first`,
        );
      waitingBytes += bytes.byteLength;
      return await exclusively(() => line.write(bytes)).finally(() => (waitingBytes -= bytes.byteLength));
    },
    close: () => line.close(),
  };
}

async function* received(line: SerialLine): AsyncGenerator<Uint8Array> {
  for (let bytes = await line.read(); bytes !== undefined; bytes = await line.read()) yield bytes;
}
