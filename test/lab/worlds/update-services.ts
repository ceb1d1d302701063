// The warden's update and target services in this process, over real slots, boot choice, floors,
// metadata and installer, so that a test can stop them anywhere.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { bundleFile } from "../../../build/bundle.ts";
import { asFault, assert, type Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import {
  createFileBootChoice,
  createFileSlots,
  linuxFiles,
  linuxHandoverReader,
  linuxHardware,
  linuxBootEnd,
  linuxPower,
  linuxUptime,
  startChild,
} from "../../../hal/linux/index.ts";
import type { ChildProgram, Clock, HandoverReader } from "../../../hal/ports.ts";
import { openFloors } from "../../../ota/floor/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { INSTALL_LINE_BYTES_MAX } from "../../../warden/install/format.ts";
import { installerCommand } from "../../../warden/install/index.ts";
import { openTargetService, type TargetService } from "../../../warden/targets/index.ts";
import { startUpdates, type Updates, type UpdateSettings } from "../../../warden/update/index.ts";
import { powerOn } from "../fakes/bootloader.ts";

const IMAGE = { v: 1, version: "1.0", hardware: "lab", counter: 1 } as const;
const PART_BYTES_MAX = 67_108_864;

/** What the health of the running system is judged by. */
export interface Health {
  agent: boolean;
  hub: boolean;
  lockdown: "waiting" | "passed" | "failed";
}

export interface UpdateServicesOptions {
  /** For the warden's state and the installer's program. */
  readonly directory: string;
  /** Stands for `/` of the board. */
  readonly root: string;
  /** Where the agent leaves files. It must exist. */
  readonly handover: string;
  /** Version 1 of the repository's root. */
  readonly imageRoot: Uint8Array;
  readonly deviceId: string;
  readonly clock: Clock;
  readonly settings: Partial<UpdateSettings>;
}

/** One board over all its boots. */
export class UpdateServices {
  /** What went into the trail. */
  readonly trail: AuditEntry[] = [];
  readonly faults: Fault[] = [];
  readonly health: Health = { agent: false, hub: false, lockdown: "waiting" };
  /** Every installer that was started; the last one may be running. */
  readonly installers: ChildProgram[] = [];
  readonly #options: UpdateServicesOptions;
  readonly #handover: HandoverReader & AsyncDisposable;
  #updates: Updates | undefined;
  #targets: TargetService | undefined;

  private constructor(options: UpdateServicesOptions, handover: HandoverReader & AsyncDisposable) {
    this.#options = options;
    this.#handover = handover;
  }

  /** Makes the board's folders, powers it on and builds the installer. Starts no service yet. */
  static async open(options: UpdateServicesOptions): Promise<UpdateServices> {
    const services = new UpdateServices(options, await linuxHandoverReader(options.handover));
    await mkdir(services.#slotsDirectory, { recursive: true, mode: 0o700 });
    await mkdir(join(options.root, "proc"), { recursive: true });
    await writeFile(services.slot("a"), "the system that runs\n", { mode: 0o600 });
    await writeFile(services.slot("b"), "an older system\n", { mode: 0o600 });
    await writeFile(join(services.#slotsDirectory, "boot-choice"), "a\n", { mode: 0o600 });
    await powerOn(options.root);
    // The bundle, as it is shipped: the installer's thread has no memory for a compiler.
    await bundleFile("warden/install/main.ts", services.#installerProgram);
    return services;
  }

  /** The file of a part of a slot. */
  slot(name: "a" | "b", part: "root" | "kernel" = "root"): string {
    return join(this.#slotsDirectory, part === "root" ? `${name}.img` : `${name}.${part}`);
  }

  get updates(): Updates {
    assert(this.#updates !== undefined, "the warden's update service is running");
    return this.#updates;
  }

  get targets(): TargetService {
    assert(this.#targets !== undefined, "the warden's target service is running");
    return this.#targets;
  }

  /** Starts the services as a warden does, and settles what the last boot left. */
  async start(): Promise<Updates> {
    const { deviceId, clock, imageRoot, settings } = this.#options;
    const floors = await openFloors(await this.state("floors")).catch((error: unknown) =>
      asFault(error, "floor.invalid", "open floors"),
    );
    const record = async (entry: AuditEntry): Promise<void> => void this.trail.push(entry);
    const report = (fault: Fault): void => void this.faults.push(fault);
    const targets = await openTargetService({
      files: await this.state("trust"),
      imageRoot,
      handover: this.#handover,
      clock,
      clockTrusted: () => true,
      deviceId: v.parse(deviceIdSchema, deviceId),
      hardware: IMAGE.hardware,
      floors: () => this.updates.floors(),
      record,
      report,
    });
    this.#targets = targets;
    this.#updates = await startUpdates(
      { ...(await this.#ports()), floors, targets, clock, record, report },
      { image: IMAGE, approval: "signed", checks: ["agent", "hub", "lockdown"], trialMs: 60_000, ...settings },
    );
    await this.#updates.settle();
    return this.#updates;
  }

  /** Stops the services; what the next start finds is on the disk. */
  async stop(): Promise<void> {
    await this.#updates?.stop();
  }

  /** Stops everything for good, installers too. */
  async close(): Promise<void> {
    await this.stop();
    for (const child of this.installers) await child.kill();
    await this.#handover[Symbol.asyncDispose]();
  }

  /** The warden's files of that name. */
  state(name: string): ReturnType<typeof linuxFiles> {
    return linuxFiles(join(this.#options.directory, "warden", name));
  }

  async #ports() {
    const { root } = this.#options;
    return {
      files: await this.state("update"),
      slots: createFileSlots({ directory: this.#slotsDirectory, root, partBytesMax: PART_BYTES_MAX }),
      boot: createFileBootChoice(await linuxFiles(this.#slotsDirectory)),
      bootEnd: linuxBootEnd({ root, directory: join(root, "boot/sallyport") }),
      power: linuxPower({ root }),
      installer: () => this.#startInstaller(),
      uptimeMs: () => linuxUptime(root),
      bootId: () => linuxHardware({ root }).bootId(),
      health: {
        agentGreeted: () => this.health.agent,
        hubHeard: () => this.health.hub,
        lockdown: () => ({ verdict: this.health.lockdown, detail: `as set: ${this.health.lockdown}` }),
      },
    };
  }

  async #startInstaller(): Promise<ChildProgram> {
    const { root, handover } = this.#options;
    const { args, env } = installerCommand(this.#installerProgram, { root, slots: this.#slotsDirectory, handover });
    const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const child = await startChild("/usr/bin/env", ["-i", ...variables, process.execPath, ...args], {
      lineBytesMax: INSTALL_LINE_BYTES_MAX,
      onErrorLine: () => undefined,
    });
    this.installers.push(child);
    return child;
  }

  get #slotsDirectory(): string {
    return join(this.#options.root, "slots");
  }

  get #installerProgram(): string {
    return join(this.#options.directory, "sallyport-install.mjs");
  }
}
