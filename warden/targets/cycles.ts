// Update cycles of the warden's own metadata store, each over as many requests as it takes the agent to bring the files. [OTA-1] [OTA-40]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import { type Catalogue, type Listing, openTrustStore, type TrustedMetadata, type TrustStore } from "../../ota/trust/index.ts";
import type { Take } from "./handover.ts";
import { CYCLE_LIFE_MS } from "./limits.ts";
import { createTargetTrail, type TargetTrail, type Versions } from "./trail.ts";
import type { AuditRecorder } from "../audit/index.ts";

export interface CyclesOptions {
  readonly files: DurableFiles;
  readonly imageRoot: Uint8Array | undefined;
  readonly clock: Clock;
  readonly clockTrusted: () => boolean;
  /** What is believed, at the start and after each whole cycle: its dates raise the clock's floor. [OTA-13] */
  readonly onTrusted?: (trusted: TrustedMetadata) => void;
  readonly note: AuditRecorder;
}

/** Calls are not to overlap. */
export interface Cycles {
  readonly news: TargetTrail;
  versions(): Versions;
  /** @throws Fault why no store could be opened. */
  trusted(): TrustedMetadata;
  /** One whole cycle: top-level roles, then every delegated role. @throws Fault of every check, recorded; those of `take`. */
  run(take: Take): Promise<Listing>;
  /** Of the last whole cycle, or of a new one when that was too long ago. @throws as {@link run}. */
  catalogue(take: Take): Promise<Catalogue>;
  /** Why the store could not be opened, the last cycle was refused, or some roles could not be believed in it. */
  faults(): readonly Fault[];
}

interface Held {
  store?: TrustStore;
  unopened?: Fault;
  refused?: Fault;
  listed: readonly Fault[];
  whole?: { readonly catalogue: Catalogue; readonly untilMonotonicMs: number };
}

/** Never fails: a store that can't be opened is tried again with every cycle. */
export async function openCycles(options: CyclesOptions): Promise<Cycles> {
  const { files, imageRoot, clock, clockTrusted, onTrusted, note } = options;
  const held: Held = { listed: [] };
  await open(held, files, imageRoot);
  if (held.store !== undefined) onTrusted?.((await held.store.stored.list()).trusted);
  const news = createTargetTrail(note, clock, versionsOf(held.store));
  /** Where the store's fetch leads now: a catalogue outlives the request it was made in. */
  const way: { take: Take } = { take: async () => undefined };

  const cycle = async (take: Take): Promise<{ readonly catalogue: Catalogue; readonly listing: Listing }> => {
    const store = await open(held, files, imageRoot);
    if (store instanceof Fault) throw store;
    way.take = take;
    delete held.whole; // good until the next cycle begins
    try {
      const fetch: Take = (name, bytesMax) => way.take(`metadata/${name}`, bytesMax);
      const catalogue = await store.refresh({ fetch, nowMs: clock.nowMs() });
      const listing = await catalogue.list();
      held.whole = { catalogue, untilMonotonicMs: clock.monotonicMs() + CYCLE_LIFE_MS };
      held.listed = listing.faults;
      delete held.refused;
      onTrusted?.(listing.trusted);
      for (const fault of listing.faults) await tell(news, fault);
      return { catalogue, listing };
    } catch (error) {
      if (error instanceof Fault && isVerdict(error)) {
        held.refused = error;
        await tell(news, error);
      }
      throw error;
    } finally {
      await news.damaged(store.damaged);
    }
  };
  const judging = (): void => {
    if (!clockTrusted())
      throw new Fault("trust.expired", "refresh: the clock is not set, so nothing new can be judged; wait for the hub's time");
  };
  return {
    news,
    versions: () => versionsOf(held.store),
    trusted: () => {
      if (held.store !== undefined) return held.store.trusted;
      throw held.unopened ?? new Fault("trust.missing", "no metadata store is open");
    },
    run: async (take) => {
      judging();
      return (await cycle(take)).listing;
    },
    catalogue: async (take) => {
      judging(); // [OTA-7] also where the clock was lost since the cycle
      if (held.whole === undefined || clock.monotonicMs() > held.whole.untilMonotonicMs) return (await cycle(take)).catalogue;
      way.take = take;
      return held.whole.catalogue;
    },
    faults: () => [held.unopened, held.refused, ...held.listed].filter((fault) => fault !== undefined),
  };
}

/** @returns the fault instead of throwing it. */
async function open(held: Held, files: DurableFiles, imageRoot: Uint8Array | undefined): Promise<TrustStore | Fault> {
  if (held.store !== undefined) return held.store;
  try {
    if (imageRoot === undefined)
      throw new Fault("trust.missing", "open the metadata store: the image has no TUF root, nothing new can be believed");
    held.store = await openTrustStore(files, imageRoot);
    delete held.unopened;
    return held.store;
  } catch (error) {
    held.unopened = asFault(error, "assert.broken", "open the metadata store");
    return held.unopened;
  }
}

function versionsOf(store: TrustStore | undefined): Versions {
  const { root, timestamp, snapshot } = store?.trusted ?? {};
  return {
    root: root?.signed.version ?? 0,
    timestamp: timestamp?.signed.version ?? 0,
    snapshot: snapshot?.signed.version ?? 0,
  };
}

/** What the courier left in a file's place is judged like what is in the file. */
function isVerdict({ code }: Fault): boolean {
  return code.startsWith("trust.") || code === "file.not-regular" || code === "file.too-large";
}

/** What is missing was not refused: the repository may have none yet. It is a trouble all the same. */
async function tell(news: TargetTrail, fault: Fault): Promise<void> {
  if (fault.code !== "trust.missing") await news.metadataRefused(fault);
}
