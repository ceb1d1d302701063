// The warden's trust in the repository: what it believes itself, fed by the agent as by any courier, and what follows from it for this device. [OTA-1] [OTA-40]
import { asFault, Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/identity/format.ts";
import { tokenBucket } from "../../hal/rate-limit/index.ts";
import type { Clock, HandoverReader, DurableFiles } from "../../hal/ports.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { TargetCustom } from "../../ota/trust/format/index.ts";
import type { DeviceFacts, Listing, Target, TrustedMetadata } from "../../ota/trust/index.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { WantedFile } from "./format.ts";
import type { WardenResult } from "../protocol/format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import { groupsOf, type Roster } from "../roster/format.ts";
import { type Take, throughHandover } from "./handover.ts";
import { type Cycles, openCycles } from "./cycles.ts";
import { choose, type Choice, judge } from "./selection.ts";
import type { StoredPayload } from "./stored-payload.ts";
import { REQUEST_PERIOD_MS, REQUESTS_BURST_MAX, TROUBLES_MAX } from "./limits.ts";
import { offersOf } from "./offers.ts";
import { openPayloads, PAYLOAD_LINES, type PayloadLine, payloadOf, payloadPath, type Payloads } from "./payloads.ts";

export interface TargetServiceOptions {
  /** A directory of its own: metadata store, policy and roster that were taken. */
  readonly files: DurableFiles;
  /** Undefined without one in the image: then nothing new is ever believed, and what was taken before holds. */
  readonly imageRoot: Uint8Array | undefined;
  readonly handover: HandoverReader;
  readonly clock: Clock;
  /** Whether the wall clock may judge what has expired. */
  readonly clockTrusted: () => boolean;
  readonly deviceId: DeviceId;
  readonly hardware: string;
  /** By line. @throws Fault `floor.invalid`: then no release is for this device, while policies and rosters are. */
  readonly floors: () => ReadonlyMap<string, number>;
  /** What is believed of the repository, at the start and after each cycle. */
  readonly onTrusted?: (trusted: TrustedMetadata) => void;
  /** Never throws. */
  readonly note: AuditRecorder;
  /** For the journal. */
  readonly report: (fault: Fault) => void;
}

export interface JudgedTarget {
  readonly state: "found";
  readonly target: Target;
  readonly custom: TargetCustom;
  /** SHA-256 of its payload, hex. */
  readonly digest: string;
  /** Of its payload, in the repository. */
  readonly path: string;
}

export interface Taken {
  readonly state: "taken";
  readonly bytes: Uint8Array;
}

/** One request after the other. `absent`: paths that the agent says the repository has not. [OTA-40] */
export interface TargetService {
  /**
   * One update cycle; asked again until nothing is wanted any more. A newer policy and roster for this device are taken on the way.
   * @throws Fault `trust.*` for what is refused, recorded, and then all that was believed before still is; `file.*` for what the courier's directory holds in a
   *   file's place; `protocol.rate-limited`.
   */
  refresh(absent: readonly string[]): Promise<WardenResult<"trust.refresh">>;
  /** What targets are compared with: id and hardware as the machine has them, tenant and groups as the roster says. @throws Fault of the floors. */
  device(): DeviceFacts;
  /** The newest signed policy for this device. Its signature was checked, its words were not. */
  policy(): StoredPayload | undefined;
  /** [OPS-8] */
  roster(): Roster | undefined;
  /**
   * A target by its name, judged for this device by metadata that was within its dates at most an hour ago; else there is a cycle first.
   * @throws Fault as {@link refresh}; `trust.missing` when there is no such target; `floor.below`, `update.refused` when it is not for this device, recorded.
   */
  find(target: string, absent: readonly string[]): Promise<WantedFile | JudgedTarget>;
  /** The payload of a target that was found, verified. @throws Fault `trust.missing`, `trust.mismatch`, `trust.too-large`; `file.*` of the courier. */
  payload(target: Target, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken>;
  /** A file by its path in the repository, as the courier has it: whoever takes it verifies it. @throws Fault `trust.missing`; `file.*` of the courier. */
  take(path: string, bytesMax: number, absent: readonly string[]): Promise<WantedFile | Taken>;
  readonly verbs: Pick<VerbHandlers, "trust.refresh">;
  /** What does not work now. */
  troubles(): readonly Fault[];
}

/** Never fails: what can't be opened is a trouble, and what was taken before holds. */
export async function openTargetService(options: TargetServiceOptions): Promise<TargetService> {
  const { files, handover, clock, report } = options;
  const cycles = await openCycles(options);
  const payloads = await openPayloads(files);
  const { news } = cycles;
  const known = (): readonly Fault[] => [...cycles.faults(), ...payloads.faults().map(({ fault }) => fault)];
  known().forEach(report);
  await news.damaged(payloads.faults());

  const inTurn = createMutex();
  const bucket = tokenBucket(clock, REQUESTS_BURST_MAX, REQUEST_PERIOD_MS);
  const request = <T>(absent: readonly string[], work: (take: Take) => Promise<T>): Promise<T | WantedFile> =>
    inTurn(() => throughHandover(handover, absent, work));
  /** For what verifies metadata. */
  const paced = <T>(absent: readonly string[], work: (take: Take) => Promise<T>): Promise<T | WantedFile> =>
    request(absent, (take) => {
      if (bucket.take()) return work(take);
      throw new Fault("protocol.rate-limited", `metadata was asked about too often; ask again in ${bucket.dueMs()} ms`);
    });

  const targets: TargetService = {
    refresh: (absent) => paced(absent, (take) => refresh(options, cycles, payloads, take)),
    device: () => deviceOf(options, payloads, options.floors()),
    policy: () => payloads.kept("policy"),
    roster: () => payloads.roster(),
    find: (name, absent) => paced(absent, (take) => find(options, cycles, payloads, name, take)),
    payload: (target, bytesMax, absent) =>
      request(absent, async (take) => ({
        state: "taken",
        bytes: await payloadOf({ target }, cycles.trusted(), bytesMax, take),
      })),
    take: (path, bytesMax, absent) =>
      request(absent, async (take) => {
        const bytes = await take(path, bytesMax);
        if (bytes === undefined) throw new Fault("trust.missing", `take "${path}": the repository has no such file`);
        return { state: "taken", bytes };
      }),
    verbs: { "trust.refresh": ({ absent }) => targets.refresh(absent) },
    troubles: () => {
      const floors = floorsOf(options);
      return [...known(), ...(floors instanceof Fault ? [floors] : [])].slice(0, TROUBLES_MAX);
    },
  };
  return targets;
}

async function refresh(
  options: TargetServiceOptions,
  cycles: Cycles,
  payloads: Payloads,
  take: Take,
): Promise<WardenResult<"trust.refresh">> {
  const { news } = cycles;
  const listing = await cycles.run(take);
  const first = chosen(options, payloads, listing);
  // the roster first: it says of which tenant and groups this device is, and so which policy is its own [OPS-8]
  if (await taken("operators", cycles, payloads, first, take)) {
    const { target, counter } = payloads.kept("operators") ?? { target: "", counter: 0 };
    const { operators, tenant } = payloads.roster() ?? { operators: [], tenant: undefined };
    await news.rosterAccepted(target, counter, operators.length, tenant);
  }
  const choice = chosen(options, payloads, listing);
  await taken("policy", cycles, payloads, choice, take);
  await news.othersRefused(choice.refused);
  const versions = cycles.versions();
  await news.refreshed(versions);
  return { state: "current", ...versions, offers: offersOf(choice, payloads) };
}

/** @returns true when something new was taken. What is refused is recorded and holds up nothing else. */
async function taken(line: PayloadLine, cycles: Cycles, payloads: Payloads, { newest }: Choice, take: Take): Promise<boolean> {
  const candidate = newest.get(line);
  const outcome = await payloads.take(line, candidate, cycles.trusted(), take);
  if (outcome instanceof Fault && outcome.code !== "trust.missing")
    await cycles.news.targetRefused(candidate?.target.path ?? line, outcome.code, outcome.message);
  return outcome === true;
}

/** [OTA-36] Without floors no release is taken up; what a policy or a roster replaces is known without them. */
function chosen(options: TargetServiceOptions, payloads: Payloads, { targets }: Listing): Choice {
  const floors = floorsOf(options);
  if (!(floors instanceof Fault)) return choose(targets, deviceOf(options, payloads, floors));
  const unhindered = targets.filter(({ path }) => PAYLOAD_LINES.some((line) => path.startsWith(`${line}/`)));
  return choose(unhindered, deviceOf(options, payloads, new Map()));
}

async function find(
  options: TargetServiceOptions,
  cycles: Cycles,
  payloads: Payloads,
  name: string,
  take: Take,
): Promise<JudgedTarget> {
  const device = deviceOf(options, payloads, options.floors());
  const target = await (await cycles.catalogue(take)).find(name);
  if (target === undefined)
    throw new Fault("trust.missing", `find target "${name.slice(0, 160)}": no role of the repository has it`);
  const judged = judge(target, device);
  if ("reason" in judged) {
    await cycles.news.targetRefused(target.path, judged.reason, judged.message);
    throw new Fault(judged.reason === "floor" ? "floor.below" : "update.refused", judged.message);
  }
  const { custom, digest } = judged;
  return { state: "found", target, custom, digest, path: payloadPath(cycles.trusted(), target) };
}

/** [OTA-11] What was taken of a line is its floor: nothing older is for this device any more. */
function deviceOf(
  { deviceId, hardware }: TargetServiceOptions,
  payloads: Payloads,
  floors: ReadonlyMap<string, number>,
): DeviceFacts {
  const roster = payloads.roster();
  const own = PAYLOAD_LINES.map((line) => [line, payloads.kept(line)?.counter ?? 0] as const);
  return {
    id: deviceId,
    hardware,
    tenant: roster?.tenant,
    groups: roster === undefined ? [] : groupsOf(roster, deviceId),
    floors: new Map([...floors, ...own]),
  };
}

function floorsOf({ floors }: TargetServiceOptions): ReadonlyMap<string, number> | Fault {
  try {
    return floors();
  } catch (error) {
    return asFault(error, "assert.broken", "read the floors");
  }
}
