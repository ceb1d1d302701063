// The target service: the warden's own trust in the repository, and the targets for this device.
// The agent only brings the files. [OTA-1] [OTA-40]
import { asFault, Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { Clock, DurableFiles, HandoverReader } from "../../hal/ports.ts";
import { type TokenBucket, createTokenBucket } from "../../hal/rate-limit.ts";
import type { TargetCustom } from "../../ota/trust/format/index.ts";
import type { DeviceFacts, Listing, Target, TrustedMetadata } from "../../ota/trust/index.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { WardenResult } from "../protocol/format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import { groupsOf, type Roster } from "../roster/format.ts";
import { type Cycles, openCycles } from "./cycles.ts";
import type { WantedFile } from "./format.ts";
import { type Take, throughHandover } from "./handover.ts";
import { PATH_CHARACTERS_MAX, REQUEST_PERIOD_MS, REQUESTS_BURST_MAX, TROUBLES_MAX } from "./limits.ts";
import { offersOf } from "./offers.ts";
import { openPayloads, PAYLOAD_LINES, type PayloadLine, payloadOf, payloadPath, type Payloads } from "./payloads.ts";
import { choose, type Choice, judge } from "./selection.ts";
import type { StoredPayload } from "./stored-payload.ts";

export interface TargetServiceOptions {
  /** A directory of its own, with the metadata store, the stored policy and the stored roster. */
  readonly files: DurableFiles;
  /**
   * Undefined where the image has none: no new metadata is trusted then, and what is stored stays
   * valid.
   */
  readonly imageRoot: Uint8Array | undefined;
  readonly handover: HandoverReader;
  readonly clock: Clock;
  /** Whether the wall clock may judge what has expired. */
  readonly clockTrusted: () => boolean;
  readonly deviceId: DeviceId;
  readonly hardware: string;
  /**
   * The floors by line.
   * @throws Fault `floor.invalid`: no release is for this device then, while policies and rosters
   *   are.
   */
  readonly floors: () => ReadonlyMap<string, number>;
  /** Gets the trusted metadata at the start and after each cycle. */
  readonly onTrusted?: (trusted: TrustedMetadata) => void;
  /** Records in the audit trail. Never throws. */
  readonly record: AuditRecorder;
  /** Reports to the journal. */
  readonly report: (fault: Fault) => void;
}

export interface JudgedTarget {
  readonly state: "found";
  readonly target: Target;
  readonly custom: TargetCustom;
  /** SHA-256 of its payload, in hex. */
  readonly digest: string;
  /** The path of its payload in the repository. */
  readonly path: string;
}

export interface Taken {
  readonly state: "taken";
  readonly bytes: Uint8Array;
}

/**
 * Serves one request after the other. `absent`: paths that the repository lacks, as the agent
 * reports. [OTA-40]
 */
export interface TargetService {
  /**
   * Runs one update cycle. The agent repeats the request until no file is wanted. A newer policy
   * and roster for this device are stored on the way.
   * @throws Fault `trust.*` for what is refused and recorded, and everything that was trusted
   *   before still is; `file.*` for something else in a file's place in the hand-over directory;
   *   `protocol.rate-limited`.
   */
  refresh(absent: readonly string[]): Promise<WardenResult<"trust.refresh">>;
  /**
   * The facts that targets are compared with: id and hardware of the machine, tenant and groups of
   * the roster.
   * @throws Fault of the floors.
   */
  device(): DeviceFacts;
  /** The newest signed policy for this device. Its signature was checked, its content was not. */
  policy(): StoredPayload | undefined;
  /** [OPS-8] */
  roster(): Roster | undefined;
  /**
   * Finds a target by its name and judges it for this device, by metadata that was within its dates
   * at most an hour ago; otherwise a cycle comes first.
   * @throws Fault as {@link refresh}; `trust.missing` when there is no such target; `floor.below`,
   *   `update.refused` when it is not for this device, which is recorded.
   */
  find(target: string, absent: readonly string[]): Promise<WantedFile | JudgedTarget>;
  /**
   * Reads and verifies the payload of a target that was found.
   * @throws Fault `trust.missing`, `trust.mismatch`, `trust.too-large`; `file.*` of the hand-over
   *   directory.
   */
  payload(target: Target, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken>;
  /**
   * Reads a file by its path in the repository. The caller must verify it.
   * @throws Fault `trust.missing`; `file.*` of the hand-over directory.
   */
  take(path: string, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken>;
  readonly verbs: Pick<VerbHandlers, "trust.refresh">;
  /** What does not work now. */
  troubles(): readonly Fault[];
}

/** Never fails: what cannot be opened is a trouble, and what is stored stays valid. */
export async function openTargetService(options: TargetServiceOptions): Promise<TargetService> {
  const cycles = await openCycles(options);
  const payloads = await openPayloads(options.files);
  const service = new Targets(options, cycles, payloads);
  service.troublesOfStores().forEach(options.report);
  await cycles.trail.damaged(payloads.faults());
  return service;
}

class Targets implements TargetService {
  readonly verbs: TargetService["verbs"] = { "trust.refresh": ({ absent }) => this.refresh(absent) };
  readonly #options: TargetServiceOptions;
  readonly #cycles: Cycles;
  readonly #payloads: Payloads;
  readonly #inTurn = createMutex();
  /** The limiter `target-requests`. */
  readonly #requests: TokenBucket;

  constructor(options: TargetServiceOptions, cycles: Cycles, payloads: Payloads) {
    this.#options = options;
    this.#cycles = cycles;
    this.#payloads = payloads;
    this.#requests = createTokenBucket(options.clock, REQUESTS_BURST_MAX, REQUEST_PERIOD_MS);
  }

  async refresh(absent: readonly string[]): Promise<WardenResult<"trust.refresh">> {
    return await this.#verifying(absent, (take) => this.#refresh(take));
  }

  device(): DeviceFacts {
    return this.#deviceWith(this.#options.floors());
  }

  policy(): StoredPayload | undefined {
    return this.#payloads.stored("policy");
  }

  roster(): Roster | undefined {
    return this.#payloads.roster();
  }

  async find(name: string, absent: readonly string[]): Promise<WantedFile | JudgedTarget> {
    return await this.#verifying(absent, (take) => this.#find(name, take));
  }

  async payload(target: Target, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken> {
    return await this.#request(absent, async (take) => ({
      state: "taken",
      bytes: await payloadOf({ target }, this.#cycles.trusted(), bytesMax, take),
    }));
  }

  async take(path: string, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken> {
    return await this.#request(absent, async (take) => {
      const bytes = await take(path, bytesMax);
      if (bytes === undefined) throw new Fault("trust.missing", `take "${path}": the repository has no such file`);
      return { state: "taken", bytes };
    });
  }

  troubles(): readonly Fault[] {
    const floors = this.#floorsOrFault();
    return [...this.troublesOfStores(), ...(floors instanceof Fault ? [floors] : [])].slice(0, TROUBLES_MAX);
  }

  /** The troubles of the metadata store and of the stored payloads. */
  troublesOfStores(): readonly Fault[] {
    return [...this.#cycles.faults(), ...this.#payloads.faults().map(({ fault }) => fault)];
  }

  async #request<T>(absent: readonly string[], work: (take: Take) => Promise<T>): Promise<T | WantedFile> {
    return await this.#inTurn(() => throughHandover(this.#options.handover, absent, work));
  }

  /** A request that verifies metadata. @throws Fault `protocol.rate-limited`. */
  async #verifying<T>(absent: readonly string[], work: (take: Take) => Promise<T>): Promise<T | WantedFile> {
    return await this.#request(absent, async (take) => {
      if (this.#requests.take()) return await work(take);
      const message = `metadata was requested too often; try again in ${this.#requests.dueMs()} ms`;
      throw new Fault("protocol.rate-limited", message);
    });
  }

  async #refresh(take: Take): Promise<WardenResult<"trust.refresh">> {
    const { trail } = this.#cycles;
    const listing = await this.#cycles.run(take);
    // the roster comes first: its tenant and groups decide which policy is for this device [OPS-8]
    if (await this.#store("operators", this.#choose(listing), take)) {
      const { target, counter } = this.#payloads.stored("operators") ?? { target: "", counter: 0 };
      const { operators, tenant } = this.#payloads.roster() ?? { operators: [], tenant: undefined };
      await trail.rosterAccepted(target, counter, operators.length, tenant);
    }
    const choice = this.#choose(listing);
    await this.#store("policy", choice, take);
    await trail.othersRefused(choice.refused);
    const versions = this.#cycles.versions();
    await trail.refreshed(versions);
    return { state: "current", ...versions, offers: offersOf(choice, this.#payloads) };
  }

  /**
   * @returns true when something new was stored. A refused payload is recorded and delays nothing
   *   else.
   */
  async #store(line: PayloadLine, { newest }: Choice, take: Take): Promise<boolean> {
    const candidate = newest.get(line);
    const outcome = await this.#payloads.take(line, candidate, this.#cycles.trusted(), take);
    if (outcome instanceof Fault && outcome.code !== "trust.missing")
      await this.#cycles.trail.targetRefused(candidate?.target.path ?? line, outcome.code, outcome.message);
    return outcome === true;
  }

  /**
   * [OTA-36] Without floors no release is taken up. What a policy or a roster replaces is known
   * without them.
   */
  #choose({ targets }: Listing): Choice {
    const floors = this.#floorsOrFault();
    if (!(floors instanceof Fault)) return choose(targets, this.#deviceWith(floors));
    const payloadTargets = targets.filter(({ path }) => PAYLOAD_LINES.some((line) => path.startsWith(`${line}/`)));
    return choose(payloadTargets, this.#deviceWith(new Map()));
  }

  async #find(name: string, take: Take): Promise<JudgedTarget> {
    const device = this.device();
    const target = await (await this.#cycles.catalogue(take)).find(name);
    if (target === undefined) {
      const message = `find target ${quoted(name, PATH_CHARACTERS_MAX)}: no role of the repository has it`;
      throw new Fault("trust.missing", message);
    }
    const judged = judge(target, device);
    if ("reason" in judged) {
      await this.#cycles.trail.targetRefused(target.path, judged.reason, judged.message);
      throw new Fault(judged.reason === "floor" ? "floor.below" : "update.refused", judged.message);
    }
    const { custom, digest } = judged;
    return { state: "found", target, custom, digest, path: payloadPath(this.#cycles.trusted(), target) };
  }

  /**
   * [OTA-11] The counter of a stored payload is the floor of its line: nothing older is for this
   * device any more.
   */
  #deviceWith(floors: ReadonlyMap<string, number>): DeviceFacts {
    const { deviceId, hardware } = this.#options;
    const roster = this.#payloads.roster();
    const storedFloors = PAYLOAD_LINES.map((line) => [line, this.#payloads.stored(line)?.counter ?? 0] as const);
    return {
      id: deviceId,
      hardware,
      tenant: roster?.tenant,
      groups: roster === undefined ? [] : groupsOf(roster, deviceId),
      floors: new Map([...floors, ...storedFloors]),
    };
  }

  #floorsOrFault(): ReadonlyMap<string, number> | Fault {
    try {
      return this.#options.floors();
    } catch (error) {
      return asFault(error, "assert.broken", "read the floors");
    }
  }
}
