// One look at the repository: the agent's own store first, then the warden's. A broken or foreign mirror costs the agent a refusal and the warden nothing. [OTA-1]
import { Fault } from "../../hal/fault.ts";
import { type Catalogue, type Fetch, openTrustStore, type Target } from "../../ota/trust/index.ts";
import { metadataName } from "../../ota/trust/format/index.ts";
import type { TargetOffer } from "../../warden/targets/format.ts";
import { fetchWanted } from "./fetch-wanted.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import type { StepContext, ReleasePlaces } from "./ports.ts";

export interface RepositoryCheck {
  /** What the warden finds to be for this device. */
  readonly offers: readonly TargetOffer[];
  /** By the agent's own metadata. Good until the next look. @returns undefined for a name nobody vouches for. @throws Fault `trust.*`, `fetch.*`. */
  find(target: string): Promise<Target | undefined>;
}

/**
 * The top level of the agent's store is refreshed; roles are asked for one by one when a target of theirs is, so that no look holds all of them.
 * @throws Fault `trust.*` of either store, `config.unreadable` without an image's root, those of {@link fetchWanted}.
 */
export async function checkRepository(
  bench: StepContext,
  places: Pick<ReleasePlaces, "metadata" | "imageRoot">,
): Promise<RepositoryCheck> {
  const { warden, drop } = bench;
  const catalogue = await refreshOwn(bench, places);
  if (catalogue === undefined) return { offers: [], find: async () => undefined };
  await drop.clear(); // the timestamp of yesterday's look would be taken for today's
  const { offers } = await fetchWanted(bench, (absent) => warden.call("trust.refresh", { absent: [...absent] }));
  return { offers, find: (target) => catalogue.find(target) };
}

/** @returns undefined when nothing was ever published: a hub that is new, and no trouble. */
async function refreshOwn(
  bench: StepContext,
  places: Pick<ReleasePlaces, "metadata" | "imageRoot">,
): Promise<Catalogue | undefined> {
  const { repository, clock, signal } = bench;
  const store = await openTrustStore(await places.metadata(), await places.imageRoot());
  const fetch: Fetch = (name, bytesMax) => repository.get(`metadata/${name}`, bytesMax, signal);
  const isFirst = store.trusted.timestamp === undefined && store.damaged.length === 0;
  if (isFirst && (await fetch(metadataName("timestamp", undefined), METADATA_BYTES_MAX)) === undefined) return undefined;
  try {
    return await store.refresh({ nowMs: clock.nowMs(), fetch });
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("trust.")) bench.refused(error, "repository");
    throw error;
  }
}
