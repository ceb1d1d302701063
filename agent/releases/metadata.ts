// One check of the repository: first by the agent's own metadata store, then by the warden's. A
// broken or foreign mirror costs the agent one refusal, and the warden does not see it. [OTA-1]
import { Fault } from "../../hal/fault.ts";
import { type Catalogue, type Fetch, openTrustStore, type Target } from "../../ota/trust/index.ts";
import { metadataName } from "../../ota/trust/format/index.ts";
import type { TargetOffer } from "../../warden/targets/format.ts";
import { expectMetadata, fetchWanted } from "./fetch-wanted.ts";
import { isHeld } from "./held.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import type { StepContext, ReleasePlaces } from "./ports.ts";

export interface RepositoryCheck {
  /** The targets that the warden finds to be for this device. */
  readonly offers: readonly TargetOffer[];
  /**
   * Looks a target up in the agent's own metadata. Valid until the next check.
   * @returns undefined for a name that no metadata vouches for.
   * @throws Fault `trust.*`, `fetch.*`.
   */
  find(target: string): Promise<Target | undefined>;
}

/**
 * Refreshes the top level of the agent's store, then the warden's. Delegated roles are fetched one
 * by one when a target of theirs is looked up, so that no check holds all of them.
 * @throws Fault `trust.*` of either store, `config.unreadable` without a root in the image, and
 *   those of {@link fetchWanted}.
 */
export async function checkRepository(
  context: StepContext,
  places: Pick<ReleasePlaces, "metadata" | "imageRoot">,
): Promise<RepositoryCheck> {
  const { warden, drop } = context;
  const catalogue = await refreshOwn(context, places);
  if (catalogue === undefined) return { offers: [], find: async () => undefined };
  // Otherwise the warden would take the timestamp of an earlier check for today's.
  await drop.clear(isHeld);
  const { offers } = await fetchWanted(context, (absent) => warden.call("trust.refresh", { absent: [...absent] }));
  return { offers, find: (target) => catalogue.find(target) };
}

/** @returns undefined when nothing was ever published: the hub is new, and that is no fault. */
async function refreshOwn(
  context: StepContext,
  places: Pick<ReleasePlaces, "metadata" | "imageRoot">,
): Promise<Catalogue | undefined> {
  const { repository, clock, signal } = context;
  const store = await openTrustStore(await places.metadata(), await places.imageRoot());
  const fetch: Fetch = async (name, bytesMax) => {
    const path = `metadata/${name}`;
    return expectMetadata(path, await repository.get(path, bytesMax, signal));
  };
  const isFirst = store.trusted.timestamp === undefined && store.damaged.length === 0;
  const first = `metadata/${metadataName("timestamp", undefined)}`;
  if (isFirst && (await repository.get(first, METADATA_BYTES_MAX, signal)) === undefined) return undefined;
  try {
    return await store.refresh({ nowMs: clock.nowMs(), fetch });
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("trust.")) context.refused(error, "repository");
    throw error;
  }
}
