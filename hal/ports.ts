// The machine, as the rest of the program sees it: few verbs each, the contract is in the words.
// hal/linux implements them; test/contract runs one suite on each implementation.
import type { Server } from "node:net";
import type { Fingerprint, HardwareFacts, Protection } from "./format/identity.ts";
import type { BootPlan, SlotName, SlotPart } from "./format/slots.ts";

/** A directory of small files that survive a power cut whole. Names are one path component, `[a-z0-9][a-z0-9._-]*`. */
export interface DurableFiles {
  /**
   * @returns the bytes, or undefined when there is no such file.
   * @throws Fault `file.too-large` above `bytesMax`; `file.untrusted-owner` when another user could have written it; `file.not-regular` for a link, a pipe or
   *   a directory; `file.read-failed` else.
   */
  get(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /** Until it resolves a crash leaves the old bytes or the new, whole; after that the new. @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Durable when it resolves; no fault when there is no such file. */
  remove(name: string): Promise<void>;
}

/** A directory of append-only files: the base of the audit log and the message spool. Names as in {@link DurableFiles}. */
export interface AppendFiles {
  /** Names in it, sorted. */
  list(): Promise<readonly string[]>;
  /** @throws Fault `file.too-large`, `file.untrusted-owner`, `file.not-regular`, `file.read-failed`. */
  read(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /**
   * Adds to the end, makes the file where there is none. When it resolves the bytes survive a power cut; when it rejects, any prefix of them may have reached
   * the file, and the caller must read back before it appends again. Calls for one name are not to overlap.
   * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
   */
  append(name: string, bytes: Uint8Array): Promise<void>;
  /** Cuts to `length` bytes, durably. */
  truncate(name: string, length: number): Promise<void>;
  /** Durable when it resolves; no fault when there is no such file. */
  remove(name: string): Promise<void>;
}

/** One owner for a state directory. */
export interface StateLock {
  /** Freed when the process ends, however it ends. */
  release(): Promise<void>;
}

/** Wall clock, monotonic clock and timers: whoever decides by time gets one of these. */
export interface Clock {
  /** Wall clock, Unix milliseconds. May be wrong and may step. */
  nowMs(): number;
  /** Milliseconds since some moment before this process; never steps. */
  monotonicMs(): number;
  /** Resolves after `delayMs` by the monotonic clock, or at once (without rejecting) when `signal` aborts. Does not keep the process alive by itself once aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The right to set the wall clock: the warden's alone. */
export interface SettableClock extends Clock {
  /** @throws Fault `clock.set-failed`. */
  set(unixMs: number): Promise<void>;
}

/** What the hardware says of itself. Needs root on most boards: DMI serials are root-only. */
export interface Hardware {
  facts(): Promise<HardwareFacts>;
  /** The kernel's boot id: changes with every boot, never within one. */
  bootId(): Promise<string>;
}

/** The device key as a capability: the private half is never a value of ours. P-256. */
export interface DeviceKey {
  readonly protection: Protection;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly fingerprint: Fingerprint;
  /** ECDSA-SHA256 over `data`, DER (RFC 3279 section 2.2.3). */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /** What Node's TLS takes as `key`: a PEM of the key, or the TSS2 PEM that only this machine's TPM can use. */
  tlsKey(): string;
}

/** Where device keys come from. One per kind of protection. */
export interface KeyStore {
  readonly protection: Protection;
  /** @returns undefined when this store can be used, else why not, in words for an operator. */
  unavailable(): Promise<string | undefined>;
  /** @returns the key made earlier, or undefined when none was. @throws Fault `key.tpm-unavailable`, `key.mismatch`. */
  load(): Promise<DeviceKey | undefined>;
  /** Makes the key durably; a crash leaves none or one. @throws Fault `key.create-failed`. */
  create(): Promise<DeviceKey>;
}

/** An open serial line, raw bytes, no line discipline. */
export interface SerialConnection {
  /** Ends when the line hangs up. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when the kernel has the bytes. @throws Fault `serial.closed`. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface SerialPort {
  /** @throws Fault `serial.open-failed`. */
  open(): Promise<SerialConnection>;
}

/** Binds `server` to a Unix socket with the permission bits `mode`, in the place of a dead one. @throws Fault `socket.listen-failed`. */
export type ListenUnix = (server: Server, path: string, mode: number) => Promise<void>;

/** Cheap facts of the running machine, from /proc and /sys. */
export interface Vitals {
  read(): Promise<VitalSigns>;
}

export interface VitalSigns {
  readonly uptimeS: number;
  readonly load1: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  /** Resident set of this process. */
  readonly residentBytes: number;
}

/** The machine's packet filter: one table of ours, nothing else of it. A table is text in the one spelling of hal/linux/firewall, `table inet sallyport {...}`. */
export interface Firewall {
  /** Tries `table` and changes nothing. @throws Fault `firewall.refused`. */
  check(table: string): Promise<void>;
  /** Puts `table` in the place of the one that is there, whole and in one transaction: a failure changes nothing. @throws Fault `firewall.refused`. */
  replace(table: string): Promise<void>;
  /** @returns our table as the kernel has it now, in the same spelling; undefined when there is none. @throws Fault `firewall.unreadable`. */
  read(): Promise<string | undefined>;
}

/**
 * The USB tree as the kernel shows it, and the three things that can be shut in it. Every change is read back. A change that is refused with `usb.not-in-force` may
 * still happen: where the kernel is busy it does what was written once it can.
 */
export interface UsbTree {
  /**
   * What the kernel is too busy to say is in it as it said the last time. A device that can't be understood is in it, without claims, as one that was never read.
   * @throws Fault `usb.unreadable`.
   */
  read(): Promise<UsbState>;
  /** Cheap, for looking often: a text that is another one once a controller or a device came, went, or was enumerated anew. @throws Fault `usb.unreadable`. */
  plugged(): Promise<string>;
  /** What becomes of devices that are plugged in later. Nothing here lets all of them in. @throws Fault `usb.not-in-force`, `usb.gone`. */
  setDefault(controller: string, authorized: "none" | "hardwired"): Promise<void>;
  /**
   * @param device as {@link read} gave it. Authorized, be it late, it is looked at again, and shut out when it is not the same any more or does not answer.
   * @throws Fault `usb.changed`, `usb.not-in-force`, `usb.gone`; `usb.busy`, `usb.unreadable` when it can't be looked at.
   */
  setDevice(device: UsbDevice, authorized: boolean): Promise<void>;
  /** A disabled port detects nothing. @throws Fault `usb.not-in-force` also where the kernel or the hub can't do it; `usb.gone`. */
  setPort(port: string, disabled: boolean): Promise<void>;
}

export interface UsbState {
  readonly controllers: readonly UsbController[];
  readonly ports: readonly UsbPort[];
  readonly devices: readonly UsbDevice[];
}

export interface UsbController {
  /** `usb1` */
  readonly name: string;
  /** What the kernel's `authorized_default` holds: 0 none, 1 all, 2 hardwired ports; undefined when it is no number. */
  readonly authorizedDefault: number | undefined;
}

export interface UsbPort {
  /** The name that a device plugged in here gets: `1-1.2` is port 2 of the hub at port 1 of bus 1. */
  readonly name: string;
  /** Undefined where the kernel (before 6.0) has no such switch, does not say how it is, or never did: it may be busy with the port's hub. */
  readonly disabled: boolean | undefined;
  /** The other half of a USB 3 socket. */
  readonly peer: string | undefined;
}

export interface UsbDevice {
  /** The port it is at. */
  readonly port: string;
  /** The kernel's number of it: another one after a new enumeration. */
  readonly number: number;
  readonly authorized: boolean;
  /** SHA-256 of its descriptors, hex. */
  readonly descriptors: string;
  /** What it says of itself, which anyone can fake; undefined when its descriptors make no sense or can't be read. */
  readonly claims: UsbClaims | undefined;
}

export interface UsbClaims {
  /** Four hex digits, lower case, as `product`. */
  readonly vendor: string;
  readonly product: string;
  readonly serial: string | undefined;
  /** Every interface of every configuration and alternate setting as `class:subclass:protocol`, two hex digits each; sorted, each once. */
  readonly interfaces: readonly string[];
}

/** The machine's network as the kernel, and the programs that set it up, show it. */
export interface Network {
  /** What is not there is empty. @throws Fault `file.read-failed` where the kernel's own files can't be read. */
  read(): Promise<NetworkFacts>;
}

export interface NetworkFacts {
  /** Interfaces but the loopback, sorted by name; those that lead somewhere first where there are too many to list. */
  readonly links: readonly NetworkLink[];
  /** The main table's, without those that refuse. */
  readonly routes: readonly NetworkRoute[];
  /** Addresses (RFC 5952) of the name servers in use, without those on this machine. */
  readonly nameServers: readonly string[];
}

export interface NetworkLink {
  readonly name: string;
  /** The port of the USB device it sits on. */
  readonly usb: string | undefined;
  /** It has an address by DHCP, as far as the client leaves a trace of it in /run. */
  readonly dhcp4: boolean;
  readonly dhcp6: boolean;
}

/** A prefix that is reached by a link; length 0 is the default route. */
export interface NetworkRoute {
  readonly link: string;
  readonly family: 4 | 6;
  /** 4 or 16. */
  readonly bytes: readonly number[];
  /** Bits. */
  readonly length: number;
}

/** The places of the machine's system: one runs, the other may be written. [OTA-33] */
export interface Slots {
  /** The slot this boot runs from. @throws Fault `slot.unknown` when the boot did not say. */
  running(): Promise<SlotName>;
  /**
   * Opens a part for writing; what it holds stays until it is overwritten. One writer a part at a time.
   * @param bytes what the part will have.
   * @throws Fault `slot.in-use` for the slot that runs; `slot.too-small`; `slot.busy`; `slot.write-failed`; `file.not-regular`, `file.untrusted-owner`.
   */
  open(slot: SlotName, part: SlotPart, bytes: number): Promise<SlotWriter>;
}

/** One part of a slot, open for writing. */
export interface SlotWriter {
  /** All of `bytes`, or a fault. Durable only after {@link sync}. @throws Fault `slot.write-failed`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Fills `into` from the device itself where the driver can, else from the kernel's memory.
   * @returns how many bytes there were: fewer only at the end.
   * @throws Fault `slot.read-failed`.
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  /** What was written survives a power cut. After a fault nothing written since the last sync counts. @throws Fault `slot.write-failed`. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What the boot loader is told. Each change is one: a power cut leaves the plan before it or after it. [OTA-34] */
export interface BootChoice {
  /** @throws Fault `boot.plan-invalid`; `file.*` as for state files. */
  read(): Promise<BootPlan>;
  /** The next boot is from `slot`: once, or as often as a trial may be cut (two with systemd-boot). Then the committed slot's turn comes again. */
  tryOnce(slot: SlotName): Promise<void>;
  /** Every boot is from `slot`. */
  commit(slot: SlotName): Promise<void>;
  /** As if nothing had been to try. */
  cancel(): Promise<void>;
}

/** A directory in which another user leaves files for us. Nothing in it is trusted: not the names, not the kinds, not that a file stays as it is. [OTA-32] */
export interface HandoverReader {
  /**
   * Opens once, judges what was opened, reads it once.
   * @param name one path component, `[a-z0-9][a-z0-9._-]*`.
   * @returns undefined when there is none.
   * @throws Fault `file.too-large`, `file.not-regular`, `file.read-failed`.
   */
  take(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
}

/** The other end of a {@link HandoverReader}. */
export interface HandoverWriter {
  /** There whole or not at all for who takes it; need not survive a power cut. @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** No fault when there is no such file. */
  remove(name: string): Promise<void>;
  /** Removes all there is. */
  clear(): Promise<void>;
}

/** The machine's power, as far as a program may ask. */
export interface Power {
  /** Asks for an orderly reboot: every program is told to stop first. Resolves when it was asked for. @param reason in words, one line. @throws Fault `power.failed`. */
  reboot(reason: string): Promise<void>;
}

/** A program of ours, started for one job, that we talk with in lines. */
export interface ChildProgram {
  /** What it says, line by line, once; over when it is. @throws Fault `process.failed` for a line above the bound: by then the program is killed. */
  readonly lines: AsyncIterable<string>;
  /** How it ended, in words: `code 0`, `SIGKILL`. Never rejects. Its lines are to be read to their end first. */
  readonly ended: Promise<string>;
  /** One line for it, without its newline. @throws Fault `process.failed` when it does not listen any more. */
  tell(line: string): Promise<void>;
  /** At once, with all that it started. Resolves when it is gone. */
  kill(): Promise<void>;
}

/** Other threads of this program, for work that keeps a processor busy. Memory is handed over, not copied. */
export interface Threads {
  readonly count: number;
  /** Whether none of them waits for work. */
  busy(): boolean;
  /**
   * Takes `job.memory`, which must have its buffer to itself and is empty for the caller afterwards. Jobs wait for the thread with the fewest.
   * @throws what the work throws; Fault `process.failed` when the thread ended.
   */
  run(job: ThreadJob): Promise<ThreadAnswer>;
  close(): Promise<void>;
}

export interface ThreadJob {
  readonly task: string;
  readonly memory: Uint8Array;
  readonly texts: readonly string[];
  readonly numbers: readonly number[];
}

export interface ThreadAnswer {
  readonly memory: Uint8Array;
  readonly numbers: readonly number[];
}
