// The way to the TPM: the kernel's resource manager, or a simulator's socket. One command is in
// flight at a time, each has a deadline, and a way that failed once is not used again: what comes
// late would be taken for the answer to the next command. [ID-41]
import { type FileHandle, open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { asFault, Fault } from "../../fault.ts";
import { MESSAGE_BYTES_MAX, WireReader } from "./wire.ts";

/** Bytes of tag, size and code before everything else. (Part 1) */
export const HEADER_BYTES = 10;

/** A way to one TPM. Not for several commands at once: {@link Tpm} sees to that. */
export interface TpmTransport extends AsyncDisposable {
  /**
   * @returns the whole response, whose size field is right and which has at most
   *   {@link MESSAGE_BYTES_MAX} bytes.
   * @throws Fault `tpm.timeout` after `timeoutMs`; `tpm.unreachable` when the way ended;
   *   `tpm.protocol` for bytes that are no response. After each of them every further command is
   *   `tpm.unreachable`.
   */
  exchange(command: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
}

/** Where a simulator listens: TCP on this machine, or a Unix socket. */
export type SimulatorAddress = { readonly port: number; readonly host?: string } | { readonly path: string };

const CONNECT_MS_MAX = 60_000;

/** Gets the end of a command that was left behind: until then a thread of the pool waits. */
export type OnHang = (ended: Promise<void>) => void;

/**
 * Opens /dev/tpmrm0. The kernel gives each opening its own slots and flushes them at its end.
 * @param onHang is called when a command misses its deadline, since Node cannot end it.
 * @throws Fault `tpm.unreachable`.
 */
export async function openTpmDevice(path = "/dev/tpmrm0", onHang: OnHang = () => undefined): Promise<TpmTransport> {
  try {
    return new DeviceTransport(path, await open(path, "r+"), onHang);
  } catch (error) {
    throw unreachableTpm(`open the TPM device "${path}"`, error);
  }
}

/**
 * Connects to a simulator that speaks plain commands, as `swtpm socket --server` does. It has no
 * resource manager: what is not flushed stays in its slots.
 * @throws Fault `tpm.unreachable`.
 */
export async function connectSimulator(address: SimulatorAddress): Promise<TpmTransport> {
  const socket = connect("path" in address ? address : { host: "127.0.0.1", ...address });
  const what = "path" in address ? address.path : `${address.host ?? "127.0.0.1"}:${address.port}`;
  const limit = setTimeout(() => socket.destroy(new Fault("tpm.timeout", "it does not accept")), CONNECT_MS_MAX);
  try {
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new SocketTransport(what, socket);
  } catch (error) {
    socket.destroy();
    throw unreachableTpm(`connect to the TPM simulator at "${what}"`, error);
  } finally {
    clearTimeout(limit);
  }
}

function unreachableTpm(action: string, error: unknown): Fault {
  const reason = error instanceof Error ? error.message : String(error);
  return new Fault("tpm.unreachable", `${action}: ${reason}; check that there is a TPM and that this user may open it`, {
    cause: error,
  });
}

/**
 * Pure. The size that a response claims.
 * @throws Fault `tpm.protocol` when no response has that size.
 */
export function claimedSize(header: Uint8Array): number {
  const reader = new WireReader(header, "a response of the TPM");
  reader.u16();
  const size = reader.u32();
  if (size < HEADER_BYTES || size > MESSAGE_BYTES_MAX)
    throw reader.wrong(`size ${size}; it has ${HEADER_BYTES} to ${MESSAGE_BYTES_MAX}`);
  return size;
}

/** @throws Fault `tpm.timeout` when `work` takes longer. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = (): void =>
    reject(new Fault("tpm.timeout", `the TPM did not answer within ${timeoutMs} ms; if this repeats, power-cycle the device`));
  const timer = setTimeout(late, timeoutMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

class DeviceTransport implements TpmTransport {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #onHang: OnHang;
  #isUsable = true;

  constructor(path: string, file: FileHandle, onHang: OnHang) {
    this.#onHang = onHang;
    this.#path = path;
    this.#file = file;
  }

  async exchange(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (!this.#isUsable) throw new Fault("tpm.unreachable", `the TPM device "${this.#path}" failed before; open it again`);
    this.#isUsable = false;
    const answer = this.#once(command);
    try {
      const response = await within(timeoutMs, answer);
      this.#isUsable = true;
      return response;
    } catch (error) {
      const ended = answer.then(
        () => undefined,
        () => undefined,
      );
      if (error instanceof Fault && error.code === "tpm.timeout") this.#onHang(ended);
      throw asFault(error, "tpm.unreachable", `send a command to the TPM device "${this.#path}"`);
    }
  }

  /** One write has the whole command, one read the whole response: the driver knows no parts. */
  async #once(command: Uint8Array): Promise<Uint8Array> {
    await this.#file.write(command);
    // One byte more than is allowed shows that there is more.
    const { bytesRead, buffer } = await this.#file.read(new Uint8Array(MESSAGE_BYTES_MAX + 1));
    const response = buffer.subarray(0, bytesRead);
    if (bytesRead < HEADER_BYTES || claimedSize(response) !== bytesRead)
      throw new Fault("tpm.protocol", `the TPM device "${this.#path}" gave ${bytesRead} bytes that are no response`);
    return response;
  }

  /** A read that hangs in the kernel keeps the file open until the kernel's own timeout ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const isIdle = this.#isUsable;
    this.#isUsable = false;
    const closed = this.#file.close();
    if (isIdle) await closed;
    else closed.catch(() => undefined);
  }
}

class SocketTransport implements TpmTransport {
  readonly #what: string;
  readonly #socket: Socket;
  /** What came so far, at most {@link MESSAGE_BYTES_MAX} and one read of the socket. */
  #received: Uint8Array = new Uint8Array();
  #waiting: PromiseWithResolvers<Uint8Array> | undefined;
  #failure: Fault | undefined;

  constructor(what: string, socket: Socket) {
    this.#what = what;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("error", (error) => this.#fail(asFault(error, "tpm.unreachable", `use the TPM at "${what}"`)));
    socket.on("close", () =>
      this.#fail(new Fault("tpm.unreachable", `the TPM at "${what}" closed the connection; connect again`)),
    );
  }

  async exchange(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#failure !== undefined) throw new Fault("tpm.unreachable", this.#failure.message, { cause: this.#failure });
    if (this.#waiting !== undefined) throw new Fault("assert.broken", "two commands for one TPM at the same time");
    this.#waiting = Promise.withResolvers();
    const answer = this.#waiting.promise;
    this.#socket.write(command);
    try {
      return await within(timeoutMs, answer);
    } catch (error) {
      const fault = asFault(error, "tpm.unreachable", `use the TPM at "${this.#what}"`);
      this.#fail(fault);
      throw fault;
    } finally {
      this.#waiting = undefined;
    }
  }

  #take(bytes: Uint8Array): void {
    const received = Buffer.concat([this.#received, bytes]);
    this.#received = received;
    if (received.length < HEADER_BYTES) return;
    try {
      const size = claimedSize(received);
      if (received.length < size) return;
      if (received.length > size || this.#waiting === undefined)
        throw new Fault("tpm.protocol", `the TPM at "${this.#what}" sent more than the response`);
      this.#received = new Uint8Array();
      this.#waiting.resolve(new Uint8Array(received));
    } catch (error) {
      this.#fail(asFault(error, "tpm.protocol", `read from the TPM at "${this.#what}"`));
    }
  }

  #fail(fault: Fault): void {
    this.#failure ??= fault;
    this.#received = new Uint8Array();
    this.#waiting?.reject(fault);
    this.#socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.closed) return;
    const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#fail(new Fault("tpm.unreachable", `the connection to the TPM at "${this.#what}" was closed; connect again`));
    await closed;
  }
}
