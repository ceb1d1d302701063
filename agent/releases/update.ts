// One step of an update, as far as the agent has a part in it: point the warden at the release, bring a stretch of chunks, say that they are there. [OTA-41]
// The warden judges, writes and remembers; a step begins by asking where it is, so it does not matter what the last one was cut off by.
import { Fault } from "../../hal/fault.ts";
import { fetchChunks } from "../../ota/fetch/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import { fetchWanted } from "./fetch-wanted.ts";
import { createImageMemory, rangeFrom } from "./image.ts";
import { POLL_MS, STALLS_MAX } from "./limits.ts";
import type { JobOutcome } from "./machine.ts";
import { checkRepository } from "./metadata.ts";
import type { StepContext, ReleasePlaces } from "./ports.ts";

export interface Update {
  /**
   * @param target what the hub pointed at; undefined: whatever the warden is at.
   * @throws Fault of the warden's refusal, of the agent's own look, of the line.
   */
  step(bench: StepContext, target: string | undefined): Promise<JobOutcome>;
  /** The last one is over or rests: nothing of its image is kept. */
  forget(): void;
  /** The hub has pointed again: what is over may be begun once more. */
  pointed(): void;
}

export function createUpdate(places: Pick<ReleasePlaces, "metadata" | "imageRoot">): Update {
  const images = createImageMemory();
  let stalls = 0;
  /** What the warden was at last: when it is not any more, it was ended there, by an operator or for good, and is not to be begun again by itself. */
  let seen: string | undefined;

  const step = async (bench: StepContext, target: string | undefined): Promise<JobOutcome> => {
    const before = await bench.warden.call("update.read", {});
    const mine = isUnderWay(before) && (target === undefined || before.release?.target === target);
    if (mine) seen = before.release?.target;
    if (!mine && (target === undefined || target === seen)) return { kind: "done" };
    if (!mine && target !== undefined) return afterwards(await take(bench, target));
    if (needsPlan(before) && before.release !== undefined) return afterwards(await begin(bench, before.release.target), before);
    return afterwards(await writeStretch(bench, before), before);
  };

  /** [OTA-42] What the hub named, if both stores vouch for it. The warden is asked only for what the agent's own metadata has. */
  const take = async (bench: StepContext, target: string): Promise<UpdateStatus> => {
    const look = await checkRepository(bench, places);
    if ((await look.find(target)) === undefined) {
      const fault = new Fault("update.refused", `start the update to "${target}": the repository has no such target`);
      bench.refused(fault, "update");
      throw fault;
    }
    return begin(bench, target);
  };

  const begin = async (bench: StepContext, target: string): Promise<UpdateStatus> => {
    const { update } = await fetchWanted(bench, (absent) => bench.warden.call("update.begin", { target, absent: [...absent] }));
    seen = target;
    return update;
  };

  const writeStretch = async (bench: StepContext, status: UpdateStatus): Promise<UpdateStatus> => {
    const { release, expects } = status;
    if (release === undefined || expects === undefined || isReadBack(status)) return status;
    const { warden, repository, drop, clock, random, signal } = bench;
    const { index, store } = await images.part(bench, release, expects.part);
    const window = rangeFrom(index, expects.from);
    await drop.clear();
    await fetchChunks({ index, window, repository, store, drop, clock, random, signal });
    return warden.call("update.write", { part: expects.part, ...window });
  };

  const afterwards = (status: UpdateStatus, before?: UpdateStatus): JobOutcome => {
    if (!isUnderWay(status)) return { kind: "done" };
    if (isReadBack(status)) return { kind: "more", afterMs: POLL_MS };
    const isAsBefore = before !== undefined && placeOf(status) === placeOf(before);
    stalls = isAsBefore ? stalls + 1 : 0;
    if (stalls > STALLS_MAX)
      throw new Fault("update.aborted", `write the update: the warden stays at ${placeOf(status)} whatever is brought`);
    return { kind: "more", afterMs: isAsBefore ? POLL_MS : 0 };
  };

  return {
    step,
    forget: () => {
      images.forget();
      stalls = 0;
    },
    pointed: () => {
      seen = undefined;
    },
  };
}

/** Where the warden waits for the agent. */
function isUnderWay({ phase }: UpdateStatus): boolean {
  return phase === "fetching" || phase === "verified";
}

/** It waits for manifest and indexes: at the beginning, and again after it has restarted. */
function needsPlan({ phase, expects }: UpdateStatus): boolean {
  return phase === "fetching" || (phase === "verified" && expects === undefined);
}

function isReadBack({ expects }: UpdateStatus): boolean {
  return expects !== undefined && expects.from >= expects.chunks;
}

function placeOf({ phase, expects }: UpdateStatus): string {
  return expects === undefined ? phase : `chunk ${expects.from} of ${expects.part}`;
}
