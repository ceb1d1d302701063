// The machine as the rest of the program sees it: a few verbs for each device class. The comments
// are the contracts: what it means when a call resolves, and what each fault means. hal/linux
// implements them; test/contract runs one suite against every implementation.
import type { Server } from "node:net";
import type { Fault } from "./fault.ts";
import type { Chip, Fingerprint, HardwareFacts, Protection } from "./format/identity.ts";
import type { BootPlan, SlotName, SlotPart } from "./format/slots.ts";

export type { BootEnd, BootEnding } from "./boot-end.ts";
export type { DeadManSwitch, WayBack } from "./dead-man-switch.ts";
export type { Firewall, ForeignChange, WatchedFirewall } from "./firewall.ts";
export type {
  ChipAuths,
  ChipCredential,
  ChipHierarchy,
  ChipPulse,
  ChipView,
  KeptChipKey,
  TpmChip,
  TryLimits,
} from "./tpm-chip.ts";
export type { UsbClaims, UsbController, UsbDevice, UsbEvent, UsbEvents, UsbListener, UsbPort, UsbState, UsbTree } from "./usb.ts";

/**
 * A directory of small files, each of which survives a power cut whole. A name is one path
 * component, `[a-z0-9][a-z0-9._-]*`.
 */
export interface DurableFiles {
  /**
   * @param access `private` for a private key, which another user may not read either. [STA-30]
   * @returns the bytes, or undefined when there is no such file.
   * @throws Fault `file.too-large` above `bytesMax`; `file.untrusted-owner` when another user could
   * have written it, or read a private one; `file.not-regular` for a link, a pipe or a directory;
   * `file.read-failed` otherwise.
   */
  get(name: string, bytesMax: number, access?: "shared" | "private"): Promise<Uint8Array | undefined>;
  /**
   * Until it resolves, a crash leaves the old bytes or the new ones, whole. After that, the new
   * ones.
   * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
   */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Durable when it resolves. It is no fault when there is no such file. */
  remove(name: string): Promise<void>;
  /**
   * Takes note that what `get` returned is damaged, for the status and the trail. Readers that go
   * on without the file call it. Undefined where nobody keeps such notes. [STA-4]
   */
  readonly noteDamage?: (fault: Fault) => void;
}

/**
 * A directory of append-only files: the base of the audit log and of the message spool. Names as in
 * {@link DurableFiles}.
 */
export interface AppendFiles {
  /** The names of the files, sorted. */
  list(): Promise<readonly string[]>;
  /**
   * @throws Fault `file.too-large`, `file.untrusted-owner`, `file.not-regular`, `file.read-failed`.
   */
  read(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /**
   * Adds to the end, and makes the file when there is none. When it resolves, the bytes survive a
   * power cut. When it rejects, any prefix of them may have reached the file, and the caller must
   * read back before it appends again. Calls for one name must not overlap.
   * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
   */
  append(name: string, bytes: Uint8Array): Promise<void>;
  /**
   * Writes `bytes` at offset `at`, over what is there, and makes the file when there is none and
   * `at` is 0. It never leaves a hole. When it resolves, the bytes survive a power cut; when it
   * rejects, any part of them may be in the file, in any order. Calls for one name must not
   * overlap.
   * @param reserveBytes zeros to write behind `bytes`, so that later writes change no length. They
   *   are left out where the disk is short of space.
   * @returns the length of the file.
   * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
   */
  write(name: string, at: number, bytes: Uint8Array, reserveBytes?: number): Promise<number>;
  /** Cuts the file to `length` bytes, durably. */
  truncate(name: string, length: number): Promise<void>;
  /** Durable when it resolves. It is no fault when there is no such file. */
  remove(name: string): Promise<void>;
}

/** The lock that gives a state directory one owner. */
export interface StateLock {
  /** The lock is also released when the process ends, however it ends. */
  release(): Promise<void>;
  /** [STA-50] The disk is read-only: nothing can be stored. */
  readonly readOnly?: Fault;
}

/** Wall clock, monotonic clock and timers. Code that decides by time takes one of these. */
export interface Clock {
  /** Wall clock, Unix milliseconds. It may be wrong and may step. */
  nowMs(): number;
  /** Milliseconds since some moment before this process began; never steps. */
  monotonicMs(): number;
  /**
   * Resolves after `delayMs` on the monotonic clock, or at once, without rejecting, when `signal`
   * aborts. An aborted sleep does not keep the process alive.
   */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** The right to set the wall clock. Only the warden has it. */
export interface SettableClock extends Clock {
  /** @throws Fault `clock.set-failed`. */
  set(unixMs: number): Promise<void>;
}

/**
 * What the hardware says about itself. Needs root on most boards, because only root may read DMI
 * serials.
 */
export interface Hardware {
  facts(): Promise<HardwareFacts>;
  /** The kernel's boot id: a new one for every boot, the same within one. */
  bootId(): Promise<string>;
}

/** The device key, P-256, as a capability: no value of ours ever holds the private half. */
export interface DeviceKey {
  readonly protection: Protection;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly fingerprint: Fingerprint;
  /** ECDSA with SHA-256 over `data`, in DER (RFC 3279 section 2.2.3). */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /**
   * What Node's TLS takes as `key`: a PEM of the key, or the TSS2 PEM that only this machine's TPM
   * can use.
   */
  tlsKey(): string;
  /** The TPM that it is bound to; undefined for a key in a file. [ID-47] */
  readonly chip?: Chip;
}

/** Where device keys are stored. There is one store for each kind of protection. */
export interface KeyStore {
  readonly protection: Protection;
  /**
   * @returns undefined when this store can be used, otherwise the reason, as text for an operator.
   */
  unavailable(): Promise<string | undefined>;
  /**
   * @param born the TPM that the key was born in, so that a TPM that refuses the key is told apart.
   * @returns the key that was made earlier, or undefined when there is none.
   * @throws Fault `key.tpm-unavailable`, `key.tpm-missing`, `key.not-this-board`,
   *   `key.tpm-cleared`, `key.mismatch`.
   */
  load(born?: Chip): Promise<DeviceKey | undefined>;
  /** Makes the key durably: a crash leaves no key or one. @throws Fault `key.create-failed`. */
  create(): Promise<DeviceKey>;
  /**
   * Removes the key durably, whether or not it can be loaded. The bytes of a key in a file may stay
   * readable on flash memory, which writes elsewhere than it reads. It is no fault when there is no
   * key.
   */
  remove(): Promise<void>;
}

/** An open serial line: raw bytes, no line discipline. */
export interface SerialConnection {
  /** Ends when the line hangs up. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when the kernel has taken the bytes. @throws Fault `serial.closed`. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface SerialPort {
  /** @throws Fault `serial.open-failed`. */
  open(): Promise<SerialConnection>;
}

/**
 * Binds `server` to a Unix socket with the permission bits `mode`, and replaces a socket that a
 * dead process left.
 * @throws Fault `socket.listen-failed`.
 */
export type ListenUnix = (server: Server, path: string, mode: number) => Promise<void>;

/** Facts about the running machine that are cheap to read, from /proc and /sys. */
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

/** The machine's network as the kernel and the programs that configure it show it. */
export interface Network {
  /**
   * Something that does not exist reads as empty; what could not be told reads as unknown.
   * @param towards what must stay reachable. One without an address has a name: then the far ends
   *   of connections to its port count, and what leads to the Internet where there are none.
   * @throws Fault `file.read-failed` when the kernel's own files cannot be read.
   */
  read(towards?: readonly NetworkTarget[]): Promise<NetworkFacts>;
}

export interface NetworkTarget {
  readonly address: string | undefined;
  readonly port: number;
}

export interface NetworkFacts {
  /**
   * All interfaces except the loopback, sorted by name. When there are too many to list, those with
   * a route come first.
   */
  readonly links: readonly NetworkLink[];
  /** Routes of the main table, without those that reject packets. */
  readonly routes: readonly NetworkRoute[];
  /**
   * [LCK-41] The links that the kernel's route lookup names for the targets now. Empty where it
   * names none, or could not be asked.
   */
  readonly ways: readonly string[];
  /**
   * [LCK-41] The link that the lookup names for each target that has an address, and for each far
   * end of a connection to the port of one that has none.
   */
  readonly reached?: readonly { readonly address: string; readonly link: string }[];
  /**
   * [LCK-41] Links of default routes in other tables, which packets may take by a rule that the
   * lookup does not show.
   */
  readonly detours: readonly string[];
  /**
   * Addresses (RFC 5952) of the name servers in use, except those on this machine. Where {@link
   * nameService} is unknown they are a hint.
   */
  readonly nameServers: readonly string[];
  /** [LCK-42] Unknown: something is asked for names, and whom it asks could not be told. */
  readonly nameService: Use;
  /** DNS over TLS to the name servers (RFC 7858). */
  readonly dnsOverTls: Use;
}

/** [LCK-40] What could not be told about the machine is `unknown`, and never taken for `unused`. */
export type Use = "used" | "unused" | "unknown";

export interface NetworkLink {
  readonly name: string;
  /** The port of the USB device that provides the interface. */
  readonly usb: string | undefined;
  /** The interface has an address by DHCP, or a DHCP client waits for one on it. */
  readonly dhcp4: Use;
  readonly dhcp6: Use;
  /** [LCK-50] What was read that tells it, for people; undefined when it is unknown. */
  readonly dhcp4Trace?: string | undefined;
  readonly dhcp6Trace?: string | undefined;
  /** [LCK-43] What carries the packets of the link; empty for a link that is no tunnel. */
  readonly below: readonly NetworkTunnel[];
}

/** The outer packets of a tunnel, as the kernel knows them. */
export interface NetworkTunnel {
  /** The link by which they leave; undefined when it could not be told. */
  readonly link: string | undefined;
  readonly protocol: TunnelProtocol;
  /** The far end's address; undefined when it could not be told. */
  readonly peer: string | undefined;
  /** The far end's UDP port; undefined without ports, or when it could not be told. */
  readonly port: number | undefined;
}

/** IP over IP is `ipip` (4) or `ipv6` (41), by what is inside. */
export type TunnelProtocol = "udp" | "esp" | "gre" | "ipip" | "ipv6";

/** A prefix that a link reaches. Length 0 is the default route. */
export interface NetworkRoute {
  readonly link: string;
  readonly family: 4 | 6;
  /** 4 or 16 bytes. */
  readonly bytes: readonly number[];
  /** In bits. */
  readonly length: number;
}

/** The two slots of the machine's system: one runs, the other can be written. [OTA-33] */
export interface Slots {
  /** The slot that this boot runs from. @throws Fault `slot.unknown` when the boot did not say. */
  running(): Promise<SlotName>;
  /**
   * Opens a part for writing. Its content stays until it is overwritten. One writer for a part at a
   * time.
   * @param bytes the size that the part will have.
   * @throws Fault `slot.in-use` for the slot that runs; `slot.too-small`; `slot.busy`;
   *   `slot.write-failed`; `file.not-regular`, `file.untrusted-owner`.
   */
  open(slot: SlotName, part: SlotPart, bytes: number): Promise<SlotWriter>;
}

/** One part of a slot, open for writing. */
export interface SlotWriter {
  /**
   * Writes all of `bytes` or throws. Durable only after {@link sync}.
   * @throws Fault `slot.write-failed`.
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Fills `into` from the device itself where the driver can, otherwise from the kernel's page
   * cache.
   * @returns how many bytes were read; fewer than `into` holds only at the end.
   * @throws Fault `slot.read-failed`.
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  /**
   * When it resolves, everything written survives a power cut. After a fault, nothing written since
   * the last sync counts.
   * @throws Fault `slot.write-failed`.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The boot loader's instructions. Each change is atomic: a power cut leaves the plan before it or
 * the plan after it. [OTA-34]
 */
export interface BootChoice {
  /** @throws Fault `boot.plan-invalid`; `file.*` as for state files. */
  read(): Promise<BootPlan>;
  /**
   * Boots `slot` next: once, or as often as a trial may be cut (twice with systemd-boot). After
   * that, the committed slot boots again.
   */
  tryOnce(slot: SlotName): Promise<void>;
  /** Makes `slot` the one for every boot. */
  commit(slot: SlotName): Promise<void>;
  /** Withdraws a trial, as if there had been none. */
  cancel(): Promise<void>;
}

/**
 * A directory in which another user leaves files for us. Nothing in it is trusted: not the names,
 * not the file types, not that a file stays as it is. [OTA-32]
 */
export interface HandoverReader {
  /**
   * Opens the file once, checks what was opened, and reads it once.
   * @param name one path component, `[a-z0-9][a-z0-9._-]*`.
   * @returns undefined when there is none.
   * @throws Fault `file.too-large`, `file.not-regular`, `file.read-failed`.
   */
  take(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
}

/** The writing end of a {@link HandoverReader}. */
export interface HandoverWriter {
  /**
   * A reader sees the whole file or none. It need not survive a power cut.
   * @throws Fault `file.no-space`, `file.read-only`, `file.write-failed`.
   */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /**
   * @returns a file that was put here, perhaps by an earlier run; undefined when there is none, or
   *   none of that size. A power cut may have damaged it.
   */
  get(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
  /** It is no fault when there is no such file. */
  remove(name: string): Promise<void>;
  /** Removes every file, or every one whose name is not to be kept. */
  clear(isKept?: (name: string) => boolean): Promise<void>;
}

/** The machine's power, as far as a program may ask. */
export interface Power {
  /**
   * Asks for an orderly reboot, which tells every program to stop first. Resolves when the request
   * was accepted.
   * @param reason one line of text.
   * @throws Fault `power.failed`.
   */
  reboot(reason: string): Promise<void>;
}

/** A program of ours that is started for one job and exchanges lines with us. */
export interface ChildProgram {
  /**
   * The lines it writes, to be read once. They end when the program ends.
   * @throws Fault `process.failed` for a line above the bound; the program has been killed by then.
   */
  readonly lines: AsyncIterable<string>;
  /**
   * How the program ended, as text: `code 0`, `SIGKILL`. Never rejects. Read `lines` to the end
   * first.
   */
  readonly ended: Promise<string>;
  /**
   * Sends one line, given without its newline.
   * @throws Fault `process.failed` when the program no longer reads.
   */
  tell(line: string): Promise<void>;
  /** Kills the program at once, with everything it started. Resolves when it is gone. */
  kill(): Promise<void>;
}

/**
 * Other threads of this program, for work that keeps a processor busy. Memory is transferred, not
 * copied.
 */
export interface Threads {
  readonly count: number;
  /** True when no thread waits for work. */
  busy(): boolean;
  /**
   * Takes `job.memory`, which must have its buffer to itself and is empty for the caller
   * afterwards. A job goes to the thread with the fewest jobs.
   * @throws what the work throws; Fault `process.failed` when the thread has ended.
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
