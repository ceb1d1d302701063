// Two serial ports joined in memory. They behave as linuxSerialPort does over a cable:
// test/contract/serial.test.ts runs one suite on both.
import { Fault } from "../../../hal/fault.ts";
import type { SerialConnection, SerialPort } from "../../../hal/ports.ts";

export interface FakeCable {
  readonly device: SerialPort;
  readonly host: SerialPort;
  /** Pulls the cable, for good. */
  readonly hangUp: () => void;
}

/** The size of a tty's buffer: a writer waits when the far end does not read. */
const BUFFER_BYTES_MAX = 4096;

export function fakeSerialCable(): FakeCable {
  const cable = { up: true, waiting: new Set<() => void>() };
  const wake = (): void => {
    for (const resume of cable.waiting) resume();
    cable.waiting.clear();
  };
  const changed = (): Promise<void> => new Promise((resolve) => void cable.waiting.add(resolve));
  const [toHost, toDevice]: [Uint8Array[], Uint8Array[]] = [[], []];

  const port = (incoming: Uint8Array[], outgoing: Uint8Array[]): SerialPort => {
    const side = { open: false };
    return {
      open: async () => {
        if (!cable.up || side.open)
          throw new Fault("serial.open-failed", `open the fake line: it is ${cable.up ? "in use" : "gone"}`);
        side.open = true;
        return connect(side, incoming, outgoing);
      },
    };
  };

  const connect = (side: { open: boolean }, incoming: Uint8Array[], outgoing: Uint8Array[]): SerialConnection => {
    const own = { closed: false };
    const alive = (): boolean => cable.up && !own.closed;
    const put = async (bytes: Uint8Array): Promise<void> => {
      for (let offset = 0; offset < bytes.byteLength;) {
        while (alive() && sizeOf(outgoing) >= BUFFER_BYTES_MAX) await changed();
        if (!alive()) throw new Fault("serial.closed", "write to the fake line: it has hung up or was closed");
        const chunk = bytes.slice(offset, offset + BUFFER_BYTES_MAX - sizeOf(outgoing));
        outgoing.push(chunk);
        offset += chunk.byteLength;
        wake();
      }
    };
    let last: Promise<void> = Promise.resolve();
    return {
      input: (async function* () {
        for (;;) {
          while (alive() && incoming.length === 0) await changed();
          const chunk = alive() ? incoming.shift() : undefined;
          if (chunk === undefined) return;
          wake();
          yield chunk;
        }
      })(),
      write: (bytes) => {
        const turn = last.then(() => put(bytes));
        last = turn.catch(() => undefined);
        return turn;
      },
      close: async () => {
        if (!own.closed) side.open = false;
        own.closed = true;
        wake();
      },
    };
  };

  return {
    device: port(toDevice, toHost),
    host: port(toHost, toDevice),
    hangUp: () => {
      cable.up = false;
      wake();
    },
  };
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
