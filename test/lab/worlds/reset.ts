// A device that is reset: the warden's real driver over files that outlive it, a chip, a hub that
// may witness, and a boot that runs the wipe. The power can be cut before or after each act.
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import type { BirthRecord } from "../../../hal/format/identity.ts";
import type { DurableFiles } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import type { ChipOwner } from "../../../warden/reset/format.ts";
import { openReset, type ResetService } from "../../../warden/reset/index.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../fakes/files.ts";
import { DEVICE } from "./targets.ts";

export const OLD_KEY = `sha256:${"0a".repeat(32)}`;

export interface ResetDevice {
  readonly state: FakeFiles;
  readonly marker: FakeFiles;
  readonly trail: AuditEntry[];
  readonly clock: FakeClock;
  /** Codes that the chip's release throws, one a call. */
  readonly chipFaults: FaultCode[];
  /** What the machine and its surroundings are like. A test changes it. */
  readonly is: {
    chip: ChipOwner;
    /** Undefined: there is no chip. */
    hasChip: boolean;
    /** Whether the release never answers. */
    chipHangs: boolean;
    witnesses: boolean;
    /** Whether the boot runs the wipe. */
    wipes: boolean;
    /** What the script says it did. */
    said: string;
    update: UpdateStatus;
    born: BirthRecord | undefined;
  };
  /** What happened. */
  readonly did: { releases: number; restarts: number; wipes: number; acts: number };
  /** Cuts the power at the n-th act from now on: before it is done, or after. */
  cutAt(n: number, when: "before" | "after"): void;
  readonly isOff: boolean;
  /** Switches on: the wipe, where the boot runs it, then the warden. */
  powerOn(): Promise<ResetService>;
  /** Starts the warden again in the same boot, as after kill -9. */
  restartWarden(): Promise<ResetService>;
  /** Lets time pass until the power is gone, a restart was asked for, or `idle` says so. */
  until(isOver: () => boolean): Promise<void>;
  events(): readonly string[];
}

export function resetDevice(): ResetDevice {
  return new Device();
}

class Device implements ResetDevice {
  readonly state = fakeFiles();
  readonly marker = fakeFiles();
  readonly trail: AuditEntry[] = [];
  readonly clock = fakeClock();
  readonly chipFaults: FaultCode[] = [];
  readonly did = { releases: 0, restarts: 0, wipes: 0, acts: 0 };
  readonly is: ResetDevice["is"] = {
    chip: "ours",
    hasChip: true,
    chipHangs: false,
    witnesses: true,
    wipes: true,
    said: "left 0\nfree discarded\n",
    update: { phase: "idle" },
    born: { v: 2, id: DEVICE, source: "serial", protection: "tpm", keyFingerprint: OLD_KEY },
  };
  #boot = 0;
  #cut: { readonly at: number; readonly when: "before" | "after" } | undefined;
  #off = true;

  get isOff(): boolean {
    return this.#off;
  }

  cutAt(n: number, when: "before" | "after"): void {
    this.#cut = { at: this.did.acts + n, when };
  }

  async powerOn(): Promise<ResetService> {
    this.#boot += 1;
    if (this.is.wipes && (this.marker.contents.get("reset")?.byteLength ?? 0) > 0) {
      this.did.wipes += 1;
      this.is.born = undefined;
      this.state.contents.set("reset.wiped", Buffer.from(this.is.said));
      this.marker.contents.clear();
    }
    return await this.restartWarden();
  }

  async restartWarden(): Promise<ResetService> {
    this.#off = false;
    return await openReset({
      state: this.#files(this.state),
      marker: this.#files(this.marker),
      chip: this.is.hasChip ? { owner: () => this.is.chip, release: () => this.#release() } : undefined,
      clock: this.clock,
      bootId: `boot-${this.#boot}`,
      deviceId: DEVICE,
      version: "2.4.1",
      birth: () => this.is.born,
      update: () => this.is.update,
      auditHead: () => ({ size: this.trail.length, witnessedSize: this.is.witnesses ? this.trail.length : 0, dropped: 0 }),
      restart: () =>
        this.#act(() => {
          this.did.restarts += 1;
          this.#off = true;
        }),
      record: (entry) => this.#act(() => void this.trail.push(entry)),
      report: () => undefined,
    });
  }

  async until(isOver: () => boolean): Promise<void> {
    for (let n = 0; n < 400 && !this.#off && !isOver(); n++) await this.clock.advance(5000);
  }

  events(): readonly string[] {
    return this.trail.map(({ event, result }) => `${event} ${result}`);
  }

  /** One act that reaches the machine. After a cut nothing is done, and nobody gets an answer. */
  async #act<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.#off) return await new Promise<T>(() => undefined);
    this.did.acts += 1;
    const cut = this.#cut?.at === this.did.acts ? this.#cut.when : undefined;
    if (cut === "before") this.#off = true;
    if (this.#off) return await new Promise<T>(() => undefined);
    const result = await work();
    if (cut === "after") this.#off = true;
    return this.#off && cut === "after" ? await new Promise<T>(() => undefined) : result;
  }

  #files(files: FakeFiles): DurableFiles {
    return {
      get: (name, bytesMax) => files.get(name, bytesMax),
      put: (name, bytes) => this.#act(() => files.put(name, bytes)),
      remove: (name) => this.#act(() => files.remove(name)),
    };
  }

  async #release(): Promise<readonly string[]> {
    if (this.is.chipHangs) return await new Promise(() => undefined);
    return await this.#act(() => {
      this.did.releases += 1;
      const code = this.chipFaults.shift();
      if (code !== undefined) throw new Fault(code, "the chip says no");
      this.is.chip = "nobody";
      return [];
    });
  }
}
