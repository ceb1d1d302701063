// Targets to choose from: the search of TUF 5.6.7 with the roles it asks for. [OTA-10]
import { Fault } from "../../hal/fault.ts";
import { namesOf, nextRole, search, type Target } from "./search.ts";
import { type Chain, chainKey, type TrustedMetadata } from "./trusted.ts";

export interface Catalogue {
  /**
   * The target, by the first role in order that may speak for it.
   * @returns undefined when there is none. @throws Fault of every check on the way, those of files and source.
   */
  find(path: string): Promise<Target | undefined>;
  list(): Promise<Listing>;
}

/** Answers of a search through all roles. */
export interface Listing {
  readonly targets: readonly Target[];
  /** Roles that cannot be believed now, one fault each: the others are not held up by them. */
  readonly faults: readonly Fault[];
  /** With every role that can be had: what the time floor is made from. [OTA-13] */
  readonly trusted: TrustedMetadata;
}

/** @returns undefined when the role cannot be had and that is no fault. */
export type Load = (trusted: TrustedMetadata, chain: Chain) => Promise<TrustedMetadata | undefined>;

/** @param start what is trusted before any role was looked at; asked anew for every search, which keeps what it loads to itself. */
export function catalogue(start: () => TrustedMetadata, load: Load): Catalogue {
  return {
    find: async (path) => {
      let trusted = start();
      for (;;) {
        const found = search(trusted, path);
        if (found.kind !== "needs") return found.kind === "found" ? found.target : undefined;
        const next = await load(trusted, found.chain);
        if (next === undefined) return undefined;
        trusted = next;
      }
    },
    list: async () => {
      const { trusted, faults } = await loadAll(start(), load);
      const found = namesOf(trusted).map((path) => search(trusted, path));
      return { targets: found.flatMap((each) => (each.kind === "found" ? [each.target] : [])), faults, trusted };
    },
  };
}

async function loadAll(
  start: TrustedMetadata,
  load: Load,
): Promise<{ readonly trusted: TrustedMetadata; readonly faults: readonly Fault[] }> {
  const without = new Set<string>();
  const faults: Fault[] = [];
  let trusted = start;
  for (let chain = nextRole(trusted, without); chain !== undefined; chain = nextRole(trusted, without)) {
    const next = await load(trusted, chain).catch((error: unknown) => verdict(error));
    if (next instanceof Fault) faults.push(next);
    if (next === undefined || next instanceof Fault) without.add(chainKey(chain));
    else trusted = next;
  }
  return { trusted, faults };
}

/** @throws `error` when it is no verdict about metadata: a full disk or a lost connection ends the search. */
function verdict(error: unknown): Fault {
  if (error instanceof Fault && error.code.startsWith("trust.")) return error;
  throw error;
}
