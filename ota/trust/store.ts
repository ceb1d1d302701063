// A store of trusted metadata. The agent has one, and the warden has another. [OTA-1]
import { assert } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { type Catalogue, createCatalogue } from "./catalogue.ts";
import { refreshTopLevel } from "./refresh.ts";
import { restore } from "./restore.ts";
import { type Fetch, loadRole, loadStoredRole, type RefreshSession, type Source } from "./session.ts";
import type { Damage } from "./stored.ts";
import type { TrustedMetadata } from "./trusted.ts";

export interface TrustStore {
  /** The root, timestamp and snapshot that are trusted now. */
  readonly trusted: TrustedMetadata;
  /**
   * Stored files that were found damaged since the store was opened, for the audit trail. The next
   * refresh fetches them again.
   */
  readonly damaged: readonly Damage[];
  /**
   * [OTA-7] What was accepted before, regardless of its dates: for boot, re-apply, revert and
   * commit. It fetches and writes nothing.
   */
  readonly stored: Catalogue;
  /**
   * Runs one update cycle. To accept something new, use the catalogue that it returns: everything
   * in it was within its dates at `source.nowMs`. It is valid until the next cycle. Cycles must not
   * overlap.
   * @throws Fault `trust.*`, and those of files and source. What was stored before still counts,
   *   and the next cycle starts from there.
   */
  refresh(source: Source): Promise<Catalogue>;
}

/**
 * Opens the metadata in `files`, which is the store's own directory.
 * @param imageRoot the root that came with the image. It is used until a newer one is stored, and
 *   again when the stored one is damaged.
 * @throws Fault `trust.invalid`, `trust.bad-signature`, `trust.too-large` when no root can be used;
 *   `file.*` for a store that others could have written.
 */
export async function openTrustStore(files: DurableFiles, imageRoot: Uint8Array): Promise<TrustStore> {
  const { trusted, rootToStore, damaged } = await restore(files, imageRoot);
  const session: RefreshSession = { files, trusted, rootToStore, damaged: new Map(damaged.map((each) => [each.name, each])) };
  const cycle = { number: 0, running: false };
  return {
    get trusted() {
      return session.trusted;
    },
    get damaged() {
      return [...session.damaged.values()];
    },
    stored: createCatalogue(
      () => session.trusted,
      (trusted, chain) => loadStoredRole(session, trusted, chain),
    ),
    refresh: async (source) => {
      assert(!cycle.running, "update cycles of a store do not overlap");
      const number = (cycle.number += 1);
      cycle.running = true;
      try {
        const judged = await refreshTopLevel(session, source);
        return createCatalogue(
          () => judged,
          async (trusted, chain) => {
            assert(number === cycle.number, "a catalogue is used until the next update cycle");
            return await loadRole(session, trusted, chain, source);
          },
        );
      } finally {
        cycle.running = false;
      }
    },
  };
}

/**
 * The files that were handed over, by their names on the repository. The warden refreshes from
 * them, because it fetches nothing itself. [OTA-1]
 */
export function offered(files: ReadonlyMap<string, Uint8Array>): Fetch {
  return async (name) => files.get(name);
}
