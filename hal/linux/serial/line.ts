// An open tty: the binding opens it raw and tells when it is ready; reads and writes are our own, so that each has an end.
import { read, write } from "node:fs";
import { promisify } from "node:util";
import { LinuxBinding, type LinuxPortBinding } from "@serialport/bindings-cpp/dist/linux.js";
import { asFault, Fault } from "../../fault.ts";
import { READ_BYTES_MAX } from "./limits.ts";

const readOnce = promisify(read);
const writeOnce = promisify(write);

export interface LineOptions {
  readonly path: string;
  readonly baudRate: number;
}

/** One reader and one writer at a time; the two do not disturb each other. */
export interface Line {
  /** @returns what has come, at least a byte; undefined once the line has hung up or is closed. @throws Fault `serial.closed` for any other end. */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the kernel has all bytes. @throws Fault `serial.closed`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends what waits. The descriptor is closed when it resolves. */
  close(): Promise<void>;
}

/** What read(2) says of a line that is gone: EIO of a pty or modem, ENXIO and ENODEV of an adapter that was pulled out. */
const HUNG_UP: readonly (string | undefined)[] = ["EIO", "ENXIO", "ENODEV"];
const NOT_YET: readonly (string | undefined)[] = ["EAGAIN", "EINTR"];

/**
 * Opens 8N1, raw, non-blocking, under flock(2), so that no second program of ours reads the same line.
 * @throws Fault `serial.open-failed`.
 */
export async function openLine({ path, baudRate }: LineOptions): Promise<Line> {
  const port = await openPort({ path, baudRate });
  const line = { closed: false };
  const busy = new Set<Promise<unknown>>();

  /** @returns false when there is nothing to wait for any more: hung up (epoll's EPOLLERR, EPOLLHUP) or closed. */
  const ready = (event: "readable" | "writable"): Promise<boolean> =>
    line.closed ? Promise.resolve(false) : new Promise((resolve) => port.poller.once(event, (error) => resolve(error === null)));

  const readSome = async (): Promise<Uint8Array | undefined> => {
    const buffer = Buffer.allocUnsafe(READ_BYTES_MAX);
    while (!line.closed && port.fd !== null) {
      try {
        const { bytesRead } = await readOnce(port.fd, buffer, 0, buffer.byteLength, null);
        // With VMIN 1 no read of a living line gives nothing (termios(3)): this is how a hung-up one ends
        return bytesRead === 0 ? undefined : new Uint8Array(buffer.subarray(0, bytesRead));
      } catch (error) {
        if (line.closed || HUNG_UP.includes(errnoOf(error))) return undefined;
        if (!NOT_YET.includes(errnoOf(error))) throw asFault(error, "serial.closed", `read the serial line "${path}"`);
        if (!(await ready("readable"))) return undefined;
      }
    }
    return undefined;
  };

  const writeAll = async (bytes: Uint8Array): Promise<void> => {
    for (let offset = 0; offset < bytes.byteLength;) {
      if (line.closed || port.fd === null) throw gone(path);
      try {
        offset += (await writeOnce(port.fd, bytes, offset, bytes.byteLength - offset, null)).bytesWritten;
      } catch (error) {
        if (!NOT_YET.includes(errnoOf(error))) throw asFault(error, "serial.closed", `write to the serial line "${path}"`);
        if (!(await ready("writable"))) throw gone(path);
      }
    }
  };

  /** The descriptor's number may be another file's the moment it is closed: nothing may be under way then. */
  const tracked = async <T>(work: Promise<T>): Promise<T> => {
    busy.add(work);
    try {
      return await work;
    } finally {
      busy.delete(work);
    }
  };

  return {
    read: () => tracked(readSome()),
    write: (bytes) => tracked(writeAll(bytes)),
    close: async () => {
      if (line.closed) return;
      line.closed = true;
      port.poller.stop(); // wakes up whoever waits, with an error
      await Promise.allSettled(busy);
      try {
        await port.close();
      } catch (error) {
        throw asFault(error, "serial.closed", `close the serial line "${path}"`);
      }
    },
  };
}

function gone(path: string): Fault {
  return new Fault("serial.closed", `write to the serial line "${path}": it has hung up or was closed`);
}

async function openPort(options: LineOptions): Promise<LinuxPortBinding> {
  try {
    const port = await LinuxBinding.open(options);
    // The binding's poller calls back from outside any callback scope of Node: on Node 26 what it resolves then lies until some other event comes by
    // (node-serialport issue 3148). An immediate is such an event.
    const emit = port.poller.emit.bind(port.poller);
    port.poller.emit = (event: string, ...args: unknown[]) => {
      setImmediate(() => emit(event, ...args));
      return true;
    };
    return port;
  } catch (error) {
    throw asFault(error, "serial.open-failed", `open the serial line "${options.path}" at ${options.baudRate} baud`);
  }
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
