// A whole gateway to test on: switch it on, cut its power, plug things in, type on its serial line and read what it says.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { assert, Fault } from "../../../hal/fault.ts";
import type { RunningProgram } from "../runner/process.ts";
import { type Hardware, qemuArguments } from "./command.ts";
import { type CutReport, type DiskEvent, type Loss, openPowerCutDisk } from "./disk.ts";
import { keepTranscript } from "./kept-transcripts.ts";
import { type Awaited, awaitConnection } from "./line.ts";
import { serveNbd } from "./nbd.ts";
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
  /** Gets what comes out of both serial lines, as it comes. */
  readonly heard?: (line: "serial" | "log", bytes: Buffer) => void;
}

/** Where a disk that fails us is named, the first thing that went wrong in its server: it throws from every verb that waits, from `powerOn`, `cut` and `stop`. */
export interface Gateway {
  /** Resolves when the machine begins to run. @param plugged what is in its USB ports at that moment. */
  powerOn(plugged?: readonly UsbDevice[]): Promise<void>;
  /** The power goes, now: before the first await. What the disk had not flushed is lost as `loss` says; all of it when left out. */
  cut(loss?: Loss): Promise<CutReport>;
  /** Waits until the machine has switched itself off. @throws Fault `process.timeout`. */
  waitForPowerOff(timeoutMs: number): Promise<void>;
  /** Waits for an event of QEMU from now on, such as RESET, WATCHDOG or SHUTDOWN. @throws Fault `process.timeout`, `protocol.closed`. */
  waitForEvent(name: string, timeoutMs: number): Promise<QmpEvent>;
  plug(device: UsbDevice): Promise<void>;
  /** Pulls it out and resolves when the machine has let go of it. */
  unplug(device: UsbDevice): Promise<void>;
  /** Types on the serial line, or on the second one; "\r" is the Enter key. */
  type(text: string, line?: "serial" | "log"): void;
  /** Holds a serial line low for longer than any character: BREAK, after which a kernel may take the next character for a command. */
  sendBreak(line: "serial" | "log"): Promise<void>;
  /** What the serial line said since the last read or wait. */
  read(): string;
  /** Waits for `pattern` on the serial line, from where the last read or wait ended; escape sequences and "\r" are left out. @throws Fault `process.timeout`, `process.failed` when the machine ends first. */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  /** All that the serial line said, over all power cycles; the newest million characters. */
  transcript(): string;
  /** The second serial line (ttyS1), where an image for tests lets its kernel write: not a part of a gateway, only for us to see by. */
  readonly log: Pick<Transcript, "waitFor" | "all">;
  /** Calls `listener` at each write and flush of the disk, before it is durable, until the returned function is called. It may cut. When it throws the disk is broken. */
  watchDisk(listener: (event: DiskEvent) => void): () => void;
  /** Resolves with why, once the disk is broken: for who waits for what a listener is to be told. */
  readonly broken: Promise<Fault>;
  /** What is durable of the disk. */
  readDisk(offset: number, bytes: number): Buffer;
  /** Writes what is durable on the disk as an image of its own. */
  saveDisk(path: string): void;
  /** The chip's state, for a gateway that is off: a removed one is a missing or another TPM. */
  readonly tpmDirectory: string;
  /** Switches it off for good and removes its files. */
  stop(): Promise<void>;
}

/** What a gateway has as its id, unless its board is given another serial number. */
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

/** @throws Fault `file.read-failed` when the image is no disk. */
export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const hardware: Hardware = { ...DEFAULTS, ...options };
  await using undo = new AsyncDisposableStack();
  const { path: directory } = undo.use(await ownFolder("gateway"));
  const at = (name: string): string => join(directory, name);
  const disk = openPowerCutDisk(options.image, directory);
  undo.defer(() => disk.close());
  const nbd = await serveNbd(disk, at("disk"));
  undo.defer(() => nbd.stop());
  await copyFile(FIRMWARE_VARIABLES, at("variables.fd"));
  const [line, log] = [createTranscript(), createTranscript()];
  let broken: Fault | undefined;
  const whole = (): void => {
    if (broken !== undefined) throw broken;
  };
  const neverWhole = nbd.broken.then((fault) => {
    broken = fault;
    for (const each of [line, log]) {
      each.mark(`the disk is broken: ${fault.message}`);
      each.end(fault);
    }
    throw fault;
  });
  neverWhole.catch(() => {}); // whoever waits gets it
  const ended = (why: string): void => {
    for (const each of [line, log]) each.end(broken ?? new Fault("process.failed", why));
  };
  let running: Running | undefined;
  let cycles = 0;

  const needed = (): Running => {
    assert(running !== undefined, "the gateway is on: call powerOn first");
    return running;
  };
  /** The machine is off: the disk's cache has lost its power too. */
  const wentOff = (qemu: RunningProgram): void => {
    if (running?.qemu !== qemu) return;
    running = undefined;
    nbd.cut({ kind: "drop" });
    ended(`the gateway is off; QEMU said: ${qemu.lines.join("\n")}`);
  };
  const off = async ({ qemu, chip }: Running, loss: Loss): Promise<CutReport> => {
    running = undefined;
    const dead = qemu.stop("SIGKILL");
    try {
      return nbd.cut(loss); // nothing between the two: what QEMU still had to send is never carried out
    } finally {
      ended("the gateway's power was cut");
      await dead;
      await chip?.stop();
    }
  };
  undo.defer(async () => {
    await keepTranscript("serial", line.all());
    await keepTranscript("log", log.all());
  });
  undo.defer(async () => {
    if (running !== undefined) await off(running, { kind: "drop" });
  });
  const made = undo.move();

  return {
    tpmDirectory: at("chip"),
    async powerOn(plugged = []) {
      assert(running === undefined, "the gateway is off");
      whole();
      cycles += 1;
      const sockets = { serial: at(`serial-${cycles}`), log: at(`log-${cycles}`), monitor: at(`monitor-${cycles}`) };
      const tpm = options.tpm === false ? undefined : at("tpm");
      using doors = new DisposableStack();
      await using started = new AsyncDisposableStack();
      const door = async (path: string): Promise<Awaited> => doors.adopt(await awaitConnection(path), (opened) => opened.close());
      const [serial, logged, monitor] = [await door(sockets.serial), await door(sockets.log), await door(sockets.monitor)];
      const chip = tpm === undefined ? undefined : await powerTpm(at("chip"), tpm);
      started.defer(async () => void (await chip?.stop()));
      const qemu = startWithUs(
        "qemu-system-x86_64",
        qemuArguments(hardware, { ...sockets, disk: nbd.socketPath, variables: at("variables.fd"), tpm, plugged }),
      );
      started.defer(async () => void (await qemu.stop("SIGKILL")));
      const connected = Promise.all([serial.socket, logged.socket, monitor.socket]);
      const [console, kernel, control] = await withinStart(qemu, connected);
      console.on("data", (bytes: Buffer) => {
        line.add(bytes);
        options.heard?.("serial", bytes);
      });
      kernel.on("data", (bytes: Buffer) => {
        log.add(bytes);
        options.heard?.("log", bytes);
      });
      const qmp = await withinStart(qemu, openQmp(control));
      running = { qemu, qmp, chip, type: (text, line) => void (line === "serial" ? console : kernel).write(text) };
      qemu.ended.then(
        () => wentOff(qemu),
        () => wentOff(qemu),
      );
      whole(); // QEMU reads of the disk before the machine does
      for (const each of [line, log]) each.mark(`power on ${cycles}`);
      await qmp.execute("cont");
      started.move(); // it runs: no failure of ours ends it any more
    },
    async cut(loss = { kind: "drop" }) {
      const report = await off(needed(), loss);
      whole();
      return report;
    },
    async waitForPowerOff(timeoutMs) {
      const { qemu, chip } = needed();
      await within(timeoutMs, "the gateway switched itself off", Promise.race([qemu.ended, neverWhole]));
      await chip?.stop();
    },
    waitForEvent: (name, timeoutMs) => Promise.race([needed().qmp.event(name, timeoutMs), neverWhole]),
    async plug(device) {
      const { qmp } = needed();
      const { device: words, drive } = usbWords(device);
      if (drive !== undefined) await qmp.execute("blockdev-add", drive);
      await qmp.execute("device_add", words);
    },
    async unplug(device) {
      const { qmp } = needed();
      const { drive } = usbWords(device);
      const gone = qmp.event("DEVICE_DELETED", UNPLUG_MS_MAX, ({ data }) => data["device"] === device.id);
      await Promise.all([gone, qmp.execute("device_del", { id: device.id })]);
      if (drive !== undefined) await qmp.execute("blockdev-del", { "node-name": drive["node-name"] });
    },
    type: (text, which = "serial") => needed().type(text, which),
    async sendBreak(which) {
      await needed().qmp.execute("chardev-send-break", { id: which });
    },
    read: () => line.read(),
    waitFor: (pattern, timeoutMs) => line.waitFor(pattern, timeoutMs),
    transcript: () => line.all(),
    log,
    watchDisk: (listener) => disk.watch(listener),
    broken: nbd.broken,
    readDisk: (offset, bytes) => disk.durable(offset, bytes),
    saveDisk: (path) => disk.saveTo(path),
    stop: () => made.disposeAsync(),
  };
}

/** What QEMU says when it does not start is the reason a person needs. */
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
