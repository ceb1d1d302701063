// Update cycles of the warden's own metadata store. A cycle takes as many requests as the agent
// needs to bring the files. [OTA-1] [OTA-40]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock, DurableFiles } from "../../hal/ports.ts";
import { type Catalogue, type Listing, openTrustStore, type TrustedMetadata, type TrustStore } from "../../ota/trust/index.ts";
import type { AuditRecorder } from "../audit/index.ts";
import type { Take } from "./handover.ts";
import { CYCLE_LIFE_MS } from "./limits.ts";
import { createTargetTrail, type TargetTrail, type Versions } from "./trail.ts";

export interface CyclesOptions {
  readonly files: DurableFiles;
  readonly imageRoot: Uint8Array | undefined;
  readonly clock: Clock;
  readonly clockTrusted: () => boolean;
  /**
   * Gets the trusted metadata at the start and after each complete cycle: its dates raise the floor
   * of the clock. [OTA-13]
   */
  readonly onTrusted?: (trusted: TrustedMetadata) => void;
  readonly record: AuditRecorder;
}

interface CompleteCycle {
  readonly catalogue: Catalogue;
  readonly untilMonotonicMs: number;
}

/** Never fails: a store that cannot be opened is tried again with every cycle. */
export async function openCycles(options: CyclesOptions): Promise<Cycles> {
  const store = await openStore(options);
  if (store instanceof Fault) return new Cycles(options, store);
  options.onTrusted?.((await store.stored.list()).trusted);
  return new Cycles(options, store);
}

/** Calls must not overlap. */
export class Cycles {
  readonly trail: TargetTrail;
  readonly #options: CyclesOptions;
  #store: TrustStore | Fault;
  /** Why the last cycle was refused. */
  #refused: Fault | undefined;
  /** Why some roles of the last cycle are not trusted. */
  #listingFaults: readonly Fault[] = [];
  #complete: CompleteCycle | undefined;
  /** Where the store reads files now: a catalogue outlives the request that made it. */
  #take: Take = async () => undefined;

  constructor(options: CyclesOptions, store: TrustStore | Fault) {
    this.#options = options;
    this.#store = store;
    this.trail = createTargetTrail(options.record, options.clock, this.versions());
  }

  versions(): Versions {
    const { root, timestamp, snapshot } = this.#store instanceof Fault ? {} : this.#store.trusted;
    return {
      root: root?.signed.version ?? 0,
      timestamp: timestamp?.signed.version ?? 0,
      snapshot: snapshot?.signed.version ?? 0,
    };
  }

  /** @throws Fault why no store could be opened. */
  trusted(): TrustedMetadata {
    if (this.#store instanceof Fault) throw this.#store;
    return this.#store.trusted;
  }

  /**
   * Runs one complete cycle: the top-level roles, then every delegated role.
   * @throws Fault of every check, which is recorded; those of `take`.
   */
  async run(take: Take): Promise<Listing> {
    this.#expectTrustedClock();
    return (await this.#cycle(take)).listing;
  }

  /**
   * The catalogue of the last complete cycle, or of a new one when that is too old.
   * @throws as {@link run}.
   */
  async catalogue(take: Take): Promise<Catalogue> {
    this.#expectTrustedClock(); // [OTA-7] also where the clock was lost since the cycle
    const complete = this.#complete;
    if (complete === undefined || this.#options.clock.monotonicMs() > complete.untilMonotonicMs)
      return (await this.#cycle(take)).catalogue;
    this.#take = take;
    return complete.catalogue;
  }

  /**
   * Why the store could not be opened, the last cycle was refused, or some of its roles are not
   * trusted.
   */
  faults(): readonly Fault[] {
    const unopened = this.#store instanceof Fault ? this.#store : undefined;
    return [unopened, this.#refused, ...this.#listingFaults].filter((fault) => fault !== undefined);
  }

  async #cycle(take: Take): Promise<{ readonly catalogue: Catalogue; readonly listing: Listing }> {
    const { clock, onTrusted } = this.#options;
    if (this.#store instanceof Fault) this.#store = await openStore(this.#options);
    const store = this.#store;
    if (store instanceof Fault) throw store;
    this.#take = take;
    this.#complete = undefined; // it is valid until the next cycle begins
    try {
      const fetch: Take = (name, bytesMax) => this.#take(`metadata/${name}`, bytesMax);
      const catalogue = await store.refresh({ fetch, nowMs: clock.nowMs() });
      const listing = await catalogue.list();
      this.#complete = { catalogue, untilMonotonicMs: clock.monotonicMs() + CYCLE_LIFE_MS };
      this.#listingFaults = listing.faults;
      this.#refused = undefined;
      onTrusted?.(listing.trusted);
      for (const fault of listing.faults) await this.#record(fault);
      return { catalogue, listing };
    } catch (error) {
      if (error instanceof Fault && isVerdict(error)) {
        this.#refused = error;
        await this.#record(error);
      }
      throw error;
    } finally {
      await this.trail.damaged(store.damaged);
    }
  }

  /**
   * Metadata that is missing was not refused: the repository may have none yet. It is a trouble all
   * the same.
   */
  async #record(fault: Fault): Promise<void> {
    if (fault.code !== "trust.missing") await this.trail.metadataRefused(fault);
  }

  #expectTrustedClock(): void {
    if (this.#options.clockTrusted()) return;
    const message = "refresh: the clock is not set, so no new metadata can be judged; wait for the hub's time";
    throw new Fault("trust.expired", message);
  }
}

/** @returns the fault instead of throwing it. */
async function openStore({ files, imageRoot }: CyclesOptions): Promise<TrustStore | Fault> {
  if (imageRoot === undefined) {
    const message = "open the metadata store: the image has no TUF root, so no new metadata can be trusted";
    return new Fault("trust.missing", message);
  }
  try {
    return await openTrustStore(files, imageRoot);
  } catch (error) {
    return asFault(error, "assert.broken", "open the metadata store");
  }
}

/**
 * Something else in a file's place in the hand-over directory is judged like the content of the
 * file.
 */
function isVerdict({ code }: Fault): boolean {
  return code.startsWith("trust.") || code === "file.not-regular" || code === "file.too-large";
}
