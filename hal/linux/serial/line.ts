// An open tty. The binding opens it raw and reports when it is ready. Reads and writes are our own,
// so that each of them ends.
import { constants, read, write } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { LinuxBinding, type LinuxPortBinding } from "@serialport/bindings-cpp/dist/linux.js";
import { asFault, Fault } from "../../fault.ts";

/**
 * The kernel's own buffer of a tty (N_TTY_BUF_SIZE, drivers/tty/n_tty.c): one read never returns
 * more.
 */
const READ_BYTES_MAX = 4096;

const readOnce = promisify(read);
const writeOnce = promisify(write);

export interface SerialLineOptions {
  readonly path: string;
  readonly baudRate: number;
}

/** One reader and one writer at a time. The two do not disturb each other. */
export interface SerialLine {
  /**
   * @returns the bytes received, at least one; undefined once the line has hung up or is closed.
   * @throws Fault `serial.closed` for any other end.
   */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the kernel has taken all bytes. @throws Fault `serial.closed`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends pending reads and writes. The descriptor is closed when it resolves. */
  close(): Promise<void>;
}

/**
 * Errors of read(2) on a line that is gone: EIO of a pty or modem, ENXIO and ENODEV of an adapter
 * that was unplugged.
 */
const HUNG_UP: readonly (string | undefined)[] = ["EIO", "ENXIO", "ENODEV"];
const NOT_YET: readonly (string | undefined)[] = ["EAGAIN", "EINTR"];

/**
 * Opens 8N1, raw, non-blocking, under flock(2), so that no second program of ours reads the same
 * line.
 * @throws Fault `serial.open-failed`.
 */
export async function openLine({ path, baudRate }: SerialLineOptions): Promise<SerialLine> {
  const held = await holdWaiting(path);
  try {
    return new TtyLine(await openPort({ path, baudRate }), path, held?.waiting);
  } finally {
    await held?.file.close();
  }
}

/**
 * The binding throws away what waits in the tty when it sets the speed, which it does on each open.
 * What somebody typed while this program was being restarted is read first and handed out first.
 * The line is not closed in between, because the last close throws its input away too.
 * @returns undefined when the line cannot be opened; the binding says why.
 */
async function holdWaiting(path: string): Promise<{ readonly file: FileHandle; readonly waiting: Uint8Array } | undefined> {
  try {
    const file = await open(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(READ_BYTES_MAX);
    const length = await file.read(buffer, 0, buffer.byteLength, null).then(
      ({ bytesRead }) => bytesRead,
      () => 0,
    );
    return { file, waiting: buffer.subarray(0, length) };
  } catch {
    return undefined;
  }
}

class TtyLine implements SerialLine {
  readonly #port: LinuxPortBinding;
  readonly #path: string;
  /** Reads and writes under way. */
  readonly #pending = new Set<Promise<unknown>>();
  /** Received before the line was opened. */
  #waiting: Uint8Array;
  #closed = false;

  constructor(port: LinuxPortBinding, path: string, waiting: Uint8Array = new Uint8Array()) {
    this.#port = port;
    this.#path = path;
    this.#waiting = waiting;
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#track(this.#readSome());
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#track(this.#writeAll(bytes));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#port.poller.stop(); // wakes up the reader and the writer, with an error
    await Promise.allSettled(this.#pending);
    try {
      await this.#port.close();
    } catch (error) {
      throw asFault(error, "serial.closed", `close the serial line "${this.#path}"`);
    }
  }

  async #readSome(): Promise<Uint8Array | undefined> {
    if (this.#waiting.byteLength > 0) {
      const waiting = Uint8Array.from(this.#waiting);
      this.#waiting = new Uint8Array();
      return waiting;
    }
    const buffer = Buffer.allocUnsafe(READ_BYTES_MAX);
    while (!this.#closed && this.#port.fd !== null) {
      try {
        const { bytesRead } = await readOnce(this.#port.fd, buffer, 0, buffer.byteLength, null);
        // With VMIN 1 a read of a living line returns at least one byte (termios(3)): none means
        // that the line has hung up.
        return bytesRead === 0 ? undefined : new Uint8Array(buffer.subarray(0, bytesRead));
      } catch (error) {
        if (this.#closed || HUNG_UP.includes(errnoOf(error))) return undefined;
        if (!NOT_YET.includes(errnoOf(error))) throw asFault(error, "serial.closed", `read the serial line "${this.#path}"`);
        if (!(await this.#ready("readable"))) return undefined;
      }
    }
    return undefined;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength;) {
      if (this.#closed || this.#port.fd === null) throw hungUp(this.#path);
      try {
        offset += (await writeOnce(this.#port.fd, bytes, offset, bytes.byteLength - offset, null)).bytesWritten;
      } catch (error) {
        if (!NOT_YET.includes(errnoOf(error))) throw asFault(error, "serial.closed", `write to the serial line "${this.#path}"`);
        if (!(await this.#ready("writable"))) throw hungUp(this.#path);
      }
    }
  }

  /**
   * @returns false when there is nothing left to wait for: the line has hung up (epoll's EPOLLERR,
   *   EPOLLHUP) or is closed.
   */
  #ready(event: "readable" | "writable"): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => this.#port.poller.once(event, (error) => resolve(error === null)));
  }

  /**
   * Remembers `work` until it ends. The number of a closed descriptor may belong to another file at
   * once, so nothing may be under way when it is closed.
   */
  async #track<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    try {
      return await work;
    } finally {
      this.#pending.delete(work);
    }
  }
}

function hungUp(path: string): Fault {
  return new Fault("serial.closed", `write to the serial line "${path}": it has hung up or was closed`);
}

async function openPort(options: SerialLineOptions): Promise<LinuxPortBinding> {
  try {
    // Without HUPCL: a program that is restarted must not hang up on the terminal at the other end.
    const port = await LinuxBinding.open({ ...options, hupcl: false });
    // The binding's poller calls back from outside any callback scope of Node. On Node 26, the
    // continuation of a promise that it resolves then waits until some other event occurs
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
