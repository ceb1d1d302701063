// A whole gateway in an emulator for tests: its power can be cut, USB devices plugged in, and its
// serial lines typed on and read.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { assert, Fault } from "../../../hal/fault.ts";
import type { RunningProgram } from "../runner/process.ts";
import { type Hardware, qemuArguments } from "./command.ts";
import { type CutReport, type DiskEvent, type Loss, openPowerCutDisk, type PowerCutDisk } from "./disk.ts";
import { keepTranscript } from "./kept-transcripts.ts";
import { type Awaited, awaitConnection } from "./line.ts";
import { type NbdServer, serveNbd } from "./nbd.ts";
import { ownFolder } from "./own-folder.ts";
import { FIRMWARE_VARIABLES } from "./firmware.ts";
import { openQmp, type Qmp, type QmpEvent } from "./qmp.ts";
import { startWithUs } from "./start-program.ts";
import { powerTpm } from "./tpm.ts";
import { type Transcript, createTranscript } from "./transcript.ts";
import { type UsbDevice, usbWords } from "./usb.ts";

export interface GatewayOptions extends Partial<Hardware> {
  /** The bootable disk to start from, raw; only read. */
  readonly image: string;
  /** A TPM 2.0 at /dev/tpm0 (default), new and empty. */
  readonly tpm?: boolean;
  /** Gets the output of both serial lines as it comes. */
  readonly heard?: (line: "serial" | "log", bytes: Buffer) => void;
}

/** The board that the disk of a gateway is in. */
export interface Board {
  /** Each name is a chip of its own, new and empty at its first power-on; "none" for no TPM. */
  readonly tpm?: "own" | "none" | "other";
  readonly serialNumber?: string;
}

/**
 * Once the disk is broken, every method that waits throws the first fault of its server, and so do
 * `powerOn`, `cut` and `stop`.
 */
export interface Gateway {
  /**
   * Resolves when the machine begins to run.
   * @param plugged what is in its USB ports at that moment.
   * @param board that the disk is in this time; its own when left out.
   */
  powerOn(plugged?: readonly UsbDevice[], board?: Board): Promise<void>;
  /**
   * Cuts the power at once, before the first await. What the disk had not flushed is lost as `loss`
   * says; all of it when left out.
   */
  cut(loss?: Loss): Promise<CutReport>;
  /** Waits until the machine has switched itself off. @throws Fault `process.timeout`. */
  waitForPowerOff(timeoutMs: number): Promise<void>;
  /**
   * Waits for the next event of QEMU, for instance RESET, WATCHDOG or SHUTDOWN.
   * @throws Fault `process.timeout`, `protocol.closed`.
   */
  waitForEvent(name: string, timeoutMs: number): Promise<QmpEvent>;
  plug(device: UsbDevice): Promise<void>;
  /** Pulls the device out and resolves when the machine has released it. */
  unplug(device: UsbDevice): Promise<void>;
  /** Types on the serial line, or on the second one; "\r" is the Enter key. */
  type(text: string, line?: "serial" | "log"): void;
  /**
   * Sends BREAK, a serial line held low for longer than any character, after which a kernel may
   * take the next character for a command.
   */
  sendBreak(line: "serial" | "log"): Promise<void>;
  /** @returns the output of the serial line since the last read or wait. */
  read(): string;
  /**
   * Waits for `pattern` on the serial line, from where the last read or wait ended. Escape
   * sequences and "\r" are left out.
   * @throws Fault `process.timeout`; `process.failed` when the machine ends first.
   */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  /**
   * @returns the output of the serial line over all power cycles, the newest million characters.
   */
  transcript(): string;
  /**
   * The second serial line (ttyS1), on which the kernel of a test's image writes its log. A real
   * gateway has no such line.
   */
  readonly log: Pick<Transcript, "waitFor" | "all">;
  /**
   * Calls `listener` at each write and flush of the disk, before it is durable, until the returned
   * function is called. The listener may cut the power. When it throws, the disk is broken.
   */
  watchDisk(listener: (event: DiskEvent) => void): () => void;
  /** Resolves with the reason once the disk is broken, for a caller that waits for a listener. */
  readonly broken: Promise<Fault>;
  /** @returns the durable content of the disk. */
  readDisk(offset: number, bytes: number): Buffer;
  /** Writes the durable content of the disk to an image file. */
  saveDisk(path: string): void;
  /** The TPM's state, for a gateway that is off. Without it the TPM is missing, or another one. */
  readonly tpmDirectory: string;
  /** Switches it off for good and removes its files. */
  stop(): Promise<void>;
}

/** The gateway's id unless its board gets another serial number. */
export const ID = "GW-LAB-0001";
const DEFAULTS: Hardware = {
  serialNumber: ID,
  mac: "52:54:00:5a:11:01",
  memoryMib: 512,
  processors: 2,
  forwards: [],
};
const START_MS_MAX = 20_000;
const UNPLUG_MS_MAX = 60_000;

interface Running {
  readonly qemu: RunningProgram;
  readonly qmp: Qmp;
  readonly chip: RunningProgram | undefined;
  type(text: string, line: "serial" | "log"): void;
}

/** How long a slow board's processors run in each turn. */
const RUN_MS = 20;

/** The emulator's clock is the host's, and goes on while the emulator is stopped. */
function slowDown({ pid, ended }: RunningProgram, slowness: number): void {
  if (slowness <= 1) return;
  let isEnded = false;
  const over = (): void => void (isEnded = true);
  ended.then(over, over);
  const turn = (isRunning: boolean): void => {
    if (isEnded) return;
    try {
      process.kill(pid, isRunning ? "SIGCONT" : "SIGSTOP");
    } catch {
      return; // it has ended, and that was not told yet
    }
    setTimeout(() => turn(!isRunning), isRunning ? RUN_MS : RUN_MS * (slowness - 1));
  };
  turn(true);
}

/** @throws Fault `file.read-failed` when the image is no disk. */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  await using undo = new AsyncDisposableStack();
  const { path: directory } = undo.use(await ownFolder("gateway"));
  const disk = openPowerCutDisk(options.image, directory);
  undo.defer(() => disk.close());
  const nbd = await serveNbd(disk, join(directory, "disk"));
  undo.defer(() => nbd.stop());
  await copyFile(FIRMWARE_VARIABLES, join(directory, "variables.fd"));
  const gateway = new EmulatedGateway(options, directory, disk, nbd);
  undo.defer(() => gateway.close());
  gateway.onStop(undo.move());
  return gateway;
}

class EmulatedGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #hardware: Hardware;
  readonly #directory: string;
  readonly #disk: PowerCutDisk;
  readonly #nbd: NbdServer;
  readonly #serial = createTranscript();
  readonly #log = createTranscript();
  /** Rejects once the disk is broken. */
  readonly #neverWhole: Promise<never>;
  #broken: Fault | undefined;
  #running: Running | undefined;
  #cycles = 0;
  #stack: AsyncDisposableStack | undefined;

  constructor(options: GatewayOptions, directory: string, disk: PowerCutDisk, nbd: NbdServer) {
    this.#options = options;
    this.#hardware = { ...DEFAULTS, ...options };
    this.#directory = directory;
    this.#disk = disk;
    this.#nbd = nbd;
    this.#neverWhole = nbd.broken.then((fault) => {
      this.#broken = fault;
      for (const each of [this.#serial, this.#log]) {
        each.mark(`the disk is broken: ${fault.message}`);
        each.end(fault);
      }
      throw fault;
    });
    this.#neverWhole.catch(() => {}); // Every wait races with it.
  }

  get tpmDirectory(): string {
    return this.#at("chip");
  }

  get log(): Pick<Transcript, "waitFor" | "all"> {
    return this.#log;
  }

  get broken(): Promise<Fault> {
    return this.#nbd.broken;
  }

  async powerOn(plugged: readonly UsbDevice[] = [], board: Board = {}): Promise<void> {
    assert(this.#running === undefined, "the gateway is off");
    this.#expectWhole();
    this.#cycles += 1;
    await using started = new AsyncDisposableStack();
    const { qmp } = await this.#start(started, plugged, board);
    this.#expectWhole(); // QEMU reads from the disk before the machine runs.
    for (const each of [this.#serial, this.#log]) each.mark(`power on ${this.#cycles}`);
    await qmp.execute("cont");
    started.move(); // It runs: no failure here ends it any more.
  }

  async cut(loss: Loss = { kind: "drop" }): Promise<CutReport> {
    const report = await this.#off(this.#on(), loss);
    this.#expectWhole();
    return report;
  }

  async waitForPowerOff(timeoutMs: number): Promise<void> {
    const { qemu, chip } = this.#on();
    await within(timeoutMs, "the gateway switched itself off", Promise.race([qemu.ended, this.#neverWhole]));
    await chip?.stop();
  }

  waitForEvent(name: string, timeoutMs: number): Promise<QmpEvent> {
    return Promise.race([this.#on().qmp.event(name, timeoutMs), this.#neverWhole]);
  }

  async plug(device: UsbDevice): Promise<void> {
    const { qmp } = this.#on();
    const { device: words, drive } = usbWords(device);
    if (drive !== undefined) await qmp.execute("blockdev-add", drive);
    await qmp.execute("device_add", words);
  }

  async unplug(device: UsbDevice): Promise<void> {
    const { qmp } = this.#on();
    const { drive } = usbWords(device);
    const gone = qmp.event("DEVICE_DELETED", UNPLUG_MS_MAX, ({ data }) => data["device"] === device.id);
    await Promise.all([gone, qmp.execute("device_del", { id: device.id })]);
    if (drive !== undefined) await qmp.execute("blockdev-del", { "node-name": drive["node-name"] });
  }

  type(text: string, line: "serial" | "log" = "serial"): void {
    this.#on().type(text, line);
  }

  async sendBreak(line: "serial" | "log"): Promise<void> {
    await this.#on().qmp.execute("chardev-send-break", { id: line });
  }

  read(): string {
    return this.#serial.read();
  }

  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    return this.#serial.waitFor(pattern, timeoutMs);
  }

  transcript(): string {
    return this.#serial.all();
  }

  watchDisk(listener: (event: DiskEvent) => void): () => void {
    return this.#disk.watch(listener);
  }

  readDisk(offset: number, bytes: number): Buffer {
    return this.#disk.durable(offset, bytes);
  }

  saveDisk(path: string): void {
    this.#disk.saveTo(path);
  }

  async stop(): Promise<void> {
    await this.#stack?.disposeAsync();
  }

  /** @param stack undoes everything that the gateway was made of. */
  onStop(stack: AsyncDisposableStack): void {
    this.#stack = stack;
  }

  /** Switches the machine off and keeps what it said. */
  async close(): Promise<void> {
    if (this.#running !== undefined) await this.#off(this.#running, { kind: "drop" });
    await keepTranscript("serial", this.#serial.all());
    await keepTranscript("log", this.#log.all());
  }

  /** Starts QEMU, which waits for `cont`. @param started ends what was started. */
  async #start(started: AsyncDisposableStack, plugged: readonly UsbDevice[], board: Board): Promise<Running> {
    const sockets = {
      serial: this.#at(`serial-${this.#cycles}`),
      log: this.#at(`log-${this.#cycles}`),
      monitor: this.#at(`monitor-${this.#cycles}`),
    };
    const { tpm: which = this.#options.tpm === false ? "none" : "own", ...changed } = board;
    const tpm = which === "none" ? undefined : this.#at("tpm");
    using listening = new DisposableStack();
    const listen = async (path: string): Promise<Awaited> =>
      listening.adopt(await awaitConnection(path), (opened) => opened.close());
    const [serial, log, monitor] = [await listen(sockets.serial), await listen(sockets.log), await listen(sockets.monitor)];
    const chip =
      tpm === undefined ? undefined : await powerTpm(which === "own" ? this.tpmDirectory : this.#at("other-chip"), tpm);
    started.defer(async () => void (await chip?.stop()));
    const attached = { ...sockets, disk: this.#nbd.socketPath, variables: this.#at("variables.fd"), tpm, plugged };
    const qemu = startWithUs("qemu-system-x86_64", qemuArguments({ ...this.#hardware, ...changed }, attached));
    started.defer(async () => void (await qemu.stop("SIGKILL")));
    const connected = Promise.all([serial.socket, log.socket, monitor.socket]);
    const [console, kernel, control] = await withinStart(qemu, connected);
    console.on("data", (bytes: Buffer) => this.#heard("serial", bytes));
    kernel.on("data", (bytes: Buffer) => this.#heard("log", bytes));
    const qmp = await withinStart(qemu, openQmp(control));
    slowDown(qemu, this.#hardware.slowness ?? 1);
    const running = {
      qemu,
      qmp,
      chip,
      type: (text: string, line: "serial" | "log") => void (line === "serial" ? console : kernel).write(text),
    };
    this.#running = running;
    const ended = (): void => this.#ended(qemu);
    qemu.ended.then(ended, ended);
    return running;
  }

  #heard(line: "serial" | "log", bytes: Buffer): void {
    (line === "serial" ? this.#serial : this.#log).add(bytes);
    this.#options.heard?.(line, bytes);
  }

  #on(): Running {
    assert(this.#running !== undefined, "the gateway is on: call powerOn first");
    return this.#running;
  }

  /** @throws Fault of the disk once it is broken. */
  #expectWhole(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** The machine switched itself off, so the disk's cache has lost its power too. */
  #ended(qemu: RunningProgram): void {
    if (this.#running?.qemu !== qemu) return;
    this.#running = undefined;
    this.#nbd.cut({ kind: "drop" });
    this.#endLines(`the gateway is off; QEMU said: ${qemu.lines.join("\n")}`);
  }

  async #off({ qemu, chip }: Running, loss: Loss): Promise<CutReport> {
    this.#running = undefined;
    const dead = qemu.stop("SIGKILL");
    try {
      return this.#nbd.cut(loss); // At once: what QEMU still had to send is never carried out.
    } finally {
      this.#endLines("the gateway's power was cut");
      await dead;
      await chip?.stop();
    }
  }

  #endLines(why: string): void {
    for (const each of [this.#serial, this.#log]) each.end(this.#broken ?? new Fault("process.failed", why));
  }

  #at(name: string): string {
    return join(this.#directory, name);
  }
}

/** @throws Fault `process.failed` with the output of QEMU when that ends first. */
async function withinStart<T>(qemu: RunningProgram, work: Promise<T>): Promise<T> {
  const ended = qemu.ended.then(() => {
    throw new Fault("process.failed", `QEMU did not start:\n${qemu.lines.join("\n")}`);
  });
  return within(START_MS_MAX, "QEMU started", Promise.race([work, ended]));
}

async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  const timer = Promise.withResolvers<never>();
  const late = setTimeout(() => timer.reject(new Fault("process.timeout", `not within ${timeoutMs} ms: ${what}`)), timeoutMs);
  try {
    return await Promise.race([work, timer.promise]);
  } finally {
    clearTimeout(late);
  }
}
