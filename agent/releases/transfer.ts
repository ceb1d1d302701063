// One step of the transfer of a release to the warden: name the release, bring a range of chunks,
// or say that they are there. The warden judges, writes and remembers. Each step begins by asking
// how far it is, so it does not matter where the last step was interrupted. [OTA-41] [OTA-65]
import { Fault } from "../../hal/fault.ts";
import { fetchChunks, FetchPace, isKeptName } from "../../ota/fetch/index.ts";
import { chunkFileName } from "../../ota/index/format/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import { expectMetadata, fetchWanted } from "./fetch-wanted.ts";
import { createImageCache, rangeFrom } from "./image-cache.ts";
import { POLL_MS, STALLS_MAX, TIMESTAMP_PROBE_BYTES_MAX } from "./limits.ts";
import type { JobOutcome } from "./machine.ts";
import { checkRepository } from "./metadata.ts";
import type { StepContext, ReleasePlaces } from "./ports.ts";

export interface Transfer {
  /**
   * @param target of the hub's hint; undefined: the release that the warden has.
   * @throws Fault of the warden's refusal, of the agent's own check, of the network.
   */
  step(context: StepContext, target: string | undefined): Promise<JobOutcome>;
  /** The transfer is over or pauses: forgets the manifest and the index. */
  reset(): void;
  /** The hub has sent another hint: a release that has ended may be taken up once more. */
  allowRestart(): void;
}

export function createTransfer(places: Pick<ReleasePlaces, "metadata" | "imageRoot">): Transfer {
  return new ReleaseTransfer(places);
}

class ReleaseTransfer implements Transfer {
  readonly #places: Pick<ReleasePlaces, "metadata" | "imageRoot">;
  readonly #images = createImageCache();
  readonly #pace = new FetchPace();
  #stalls = 0;
  /**
   * The target that the warden had last. If the warden no longer has it, an operator or a fault has
   * ended it there, and the agent must not start it again on its own.
   */
  #lastTarget: string | undefined;

  constructor(places: Pick<ReleasePlaces, "metadata" | "imageRoot">) {
    this.#places = places;
  }

  async step(context: StepContext, target: string | undefined): Promise<JobOutcome> {
    const before = await context.warden.call("update.read", {});
    const { release } = before;
    const isCurrent = awaitsAgent(before) && (target === undefined || release?.target === target);
    if (isCurrent) {
      this.#lastTarget = release?.target;
      const isPlanned = !needsPlan(before) || release === undefined;
      const work = isPlanned ? this.#writeRange(context, before) : this.#begin(context, release.target);
      return this.#outcome(await work.catch((error: unknown) => blame(context, error)), before);
    }
    if (target === undefined || target === this.#lastTarget) return { kind: "done" };
    return this.#outcome(await this.#takeUp(context, target), undefined);
  }

  reset(): void {
    this.#images.clear();
    this.#stalls = 0;
  }

  allowRestart(): void {
    this.#lastTarget = undefined;
  }

  /**
   * [OTA-42] Takes up the target of a hint if both metadata stores vouch for it. The warden is only
   * asked for what the agent's own metadata has.
   */
  async #takeUp(context: StepContext, target: string): Promise<UpdateStatus> {
    const check = await checkRepository(context, this.#places);
    if ((await check.find(target)) === undefined) {
      const fault = new Fault("update.refused", `start the update to "${target}": the repository has no such target`);
      context.refused(fault, "update");
      throw fault;
    }
    return this.#begin(context, target);
  }

  async #begin(context: StepContext, target: string): Promise<UpdateStatus> {
    const begin = (absent: readonly string[]) => context.warden.call("update.begin", { target, absent: [...absent] });
    const { update } = await fetchWanted(context, begin);
    this.#lastTarget = target;
    return update;
  }

  async #writeRange(context: StepContext, status: UpdateStatus): Promise<UpdateStatus> {
    const { release, expects } = status;
    if (release === undefined || expects === undefined || isReadBack(status)) return status;
    const { warden, repository, drop, clock, random, signal } = context;
    const { index, store } = await this.#images.part(context, release, expects.part);
    const window = rangeFrom(index, expects.from, this.#pace.rangeBytesMax);
    const names = new Set<string>();
    for (let n = window.from; n < window.to; n += 1) names.add(chunkFileName(index.at(n).id));
    await drop.clear((name) => isKeptName(name) || names.has(name)); // [OTA-76]
    await fetchChunks({ index, window, repository, store, drop, clock, random, pace: this.#pace, signal });
    return warden.call("update.write", { part: expects.part, ...window });
  }

  /** @throws Fault `update.aborted` after more than {@link STALLS_MAX} steps without progress. */
  #outcome(after: UpdateStatus, before: UpdateStatus | undefined): JobOutcome {
    if (!awaitsAgent(after)) return { kind: "done" };
    if (isReadBack(after)) return { kind: "continue", afterMs: POLL_MS };
    const isStalled = before !== undefined && positionOf(after) === positionOf(before);
    this.#stalls = isStalled ? this.#stalls + 1 : 0;
    if (this.#stalls > STALLS_MAX)
      throw new Fault("update.aborted", `write the update: the warden makes no progress at ${positionOf(after)}`);
    return { kind: "continue", afterMs: isStalled ? POLL_MS : 0 };
  }
}

/**
 * [OTA-78] A chunk that is damaged or missing is the release's own fault only while the repository
 * is itself, which its timestamp shows. Otherwise somebody else answers in its place.
 * @throws Fault always.
 */
async function blame({ repository, signal }: StepContext, error: unknown): Promise<never> {
  if (!(error instanceof Fault) || (error.code !== "chunk.missing" && error.code !== "chunk.tampered")) throw error;
  const path = "metadata/timestamp.json";
  const isItself = await repository
    .get(path, TIMESTAMP_PROBE_BYTES_MAX, signal)
    .then((file) => expectMetadata(path, file) !== undefined)
    .catch(() => false);
  if (isItself) throw error;
  throw new Fault("fetch.bad-response", `the repository answers with something else: ${error.message}`, { cause: error });
}

/**
 * True while the agent has work to do for it. An active update in any later phase needs only the
 * warden.
 */
function awaitsAgent({ phase }: UpdateStatus): boolean {
  return phase === "fetching" || phase === "verified";
}

/** True while the warden waits for manifest and indexes: at first, and after it has restarted. */
function needsPlan({ phase, expects }: UpdateStatus): boolean {
  return phase === "fetching" || (phase === "verified" && expects === undefined);
}

/** True while the warden reads a complete part back from the slot. */
function isReadBack({ expects }: UpdateStatus): boolean {
  return expects !== undefined && expects.from >= expects.chunks;
}

function positionOf({ phase, expects }: UpdateStatus): string {
  return expects === undefined ? phase : `chunk ${expects.from} of ${expects.part}`;
}
