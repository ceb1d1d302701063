// The warden's target service with everything around it in memory: a repository that really signs,
// an agent that brings what is wanted, and a record of the audit trail.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import * as v from "valibot";
import { assert, type Fault } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import type { HandoverReader } from "../../../hal/ports.ts";
import { handoverName } from "../../../ota/fetch/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { orderKeyId } from "../../../warden/orders/format/index.ts";
import { WARDEN_VERBS, type WardenResult } from "../../../warden/protocol/format.ts";
import { type WantedFile } from "../../../warden/targets/format.ts";
import { openTargetService, type TargetService, type TargetServiceOptions } from "../../../warden/targets/index.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../fakes/files.ts";
import { type LabRepository, labRepository, NOW_MS } from "../counterparts/repository.ts";

export const DEVICE = v.parse(deviceIdSchema, "GW-4711");
export const OTHER_DEVICE = v.parse(deviceIdSchema, "GW-0000");

export interface OperatorKey {
  readonly privateKey: KeyObject;
  readonly keyid: string;
  /** As rosters and policies list it. */
  readonly text: string;
}

export function operatorKey(): OperatorKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const text = publicKey.export({ format: "der", type: "spki" }).toString("base64");
  return { privateKey, keyid: orderKeyId(publicKey), text };
}

/** A roster as its author writes it. */
export function rosterText(change: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({ v: 1, operators: [], ...change });
}

export interface TargetsRig {
  readonly repository: LabRepository;
  readonly files: FakeFiles;
  readonly clock: FakeClock;
  /** The files in the hand-over directory, by name. */
  readonly dropped: Map<string, Uint8Array>;
  readonly handover: HandoverReader;
  readonly entries: AuditEntry[];
  readonly faults: Fault[];
  readonly floors: Map<string, number>;
  clockTrusted: boolean;
  /** Starts the warden. `change` replaces ports. */
  readonly open: (change?: Partial<TargetServiceOptions>) => Promise<TargetService>;
  /** The file at a path of the repository. */
  readonly served: (path: string) => Uint8Array | undefined;
  readonly events: (name: AuditEntry["event"]) => readonly AuditEntry[];
}

export function targetsRig(): TargetsRig {
  const repository = labRepository();
  const dropped = new Map<string, Uint8Array>();
  const rig: TargetsRig = {
    repository,
    files: fakeFiles(),
    clock: fakeClock(NOW_MS),
    dropped,
    handover: { take: async (name) => dropped.get(name) },
    entries: [],
    faults: [],
    floors: new Map(),
    clockTrusted: true,
    open: async (change = {}) =>
      await openTargetService({
        files: rig.files,
        imageRoot: repository.imageRoot,
        handover: rig.handover,
        clock: rig.clock,
        clockTrusted: () => rig.clockTrusted,
        deviceId: DEVICE,
        hardware: "lab-1",
        floors: () => rig.floors,
        record: async (entry) => void rig.entries.push(entry),
        report: (fault) => void rig.faults.push(fault),
        ...change,
      }),
    served: (path) => {
      const [folder, ...name] = path.split("/");
      return (folder === "metadata" ? repository.files : repository.payloads).get(name.join("/"));
    },
    events: (name) => rig.entries.filter(({ event }) => event === name),
  };
  return rig;
}

const REQUESTS_MAX = 60;

/**
 * Brings what is wanted until nothing is, as an agent does, beginning with an empty directory.
 * @returns the answer and the paths that were wanted.
 */
export async function brought<T extends { readonly state: string }>(
  rig: Pick<TargetsRig, "dropped" | "served">,
  ask: (absent: readonly string[]) => Promise<T | WantedFile>,
): Promise<{ readonly answer: T; readonly wanted: readonly string[] }> {
  rig.dropped.clear();
  const absent: string[] = [];
  const wanted: string[] = [];
  for (let n = 0; n < REQUESTS_MAX; n++) {
    const answer = await ask(absent);
    if (!isWanted(answer)) return { answer, wanted };
    assert(answer.handoverName === handoverName(answer.path), "the name follows from the path");
    wanted.push(answer.path);
    const bytes = rig.served(answer.path);
    if (bytes === undefined) absent.push(answer.path);
    else rig.dropped.set(answer.handoverName, bytes);
  }
  assert(false, `an end after ${REQUESTS_MAX} requests, the last for ${wanted.at(-1)}`);
}

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

/**
 * Runs one whole cycle.
 * @returns its answer, checked against the protocol.
 */
export async function refreshed(
  rig: TargetsRig,
  targets: TargetService,
): Promise<Extract<WardenResult<"trust.refresh">, { state: "current" }>> {
  const { answer } = await brought(rig, async (absent) => {
    const answer = await targets.verbs["trust.refresh"]({ absent: [...absent] });
    return v.parse(WARDEN_VERBS["trust.refresh"].result, answer);
  });
  assert(answer.state === "current", "a cycle ends with what is current");
  return answer;
}
