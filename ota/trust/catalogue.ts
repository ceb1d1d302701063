// The catalogue of targets: the search of TUF 5.6.7, which loads the roles it needs. [OTA-10]
import { Fault } from "../../hal/fault.ts";
import { namesOf, nextRole, search, type Target } from "./search.ts";
import { type Chain, chainKey, roleOf, type TrustedMetadata } from "./trusted.ts";

export interface Catalogue {
  /**
   * The target by the first role, in order, that may speak for it.
   * @returns undefined when there is none.
   * @throws Fault of every check on the way, and those of files and source.
   */
  find(path: string): Promise<Target | undefined>;
  list(): Promise<Listing>;
}

/** The result of a search through all roles. */
export interface Listing {
  readonly targets: readonly Target[];
  /** One fault for each role that cannot be trusted now. They do not hold up the other roles. */
  readonly faults: readonly Fault[];
  /** The roles of these faults, in the same order. */
  readonly refused: readonly string[];
  /** With every role that could be loaded: the time floor is computed from it. [OTA-13] */
  readonly trusted: TrustedMetadata;
}

/** @returns undefined when the role cannot be loaded and that is no fault. */
export type LoadRole = (trusted: TrustedMetadata, chain: Chain) => Promise<TrustedMetadata | undefined>;

/**
 * @param start what is trusted before any role is loaded. It is called for every search, and a
 *   search keeps what it loads to itself.
 */
export function createCatalogue(start: () => TrustedMetadata, load: LoadRole): Catalogue {
  return {
    find: async (path) => (await resolve(start(), path, load)).target,
    list: async () => await listAll(start(), load),
  };
}

interface Resolved {
  readonly trusted: TrustedMetadata;
  readonly target: Target | undefined;
}

async function resolve(start: TrustedMetadata, path: string, load: LoadRole): Promise<Resolved> {
  let trusted = start;
  for (;;) {
    const found = search(trusted, path);
    if (found.kind !== "needs") return { trusted, target: found.kind === "found" ? found.target : undefined };
    const next = await load(trusted, found.chain);
    if (next === undefined) return { trusted, target: undefined };
    trusted = next;
  }
}

/**
 * Loads every role first, then resolves every name in them: for one of its names a role may be
 * needed along another chain.
 */
async function listAll(start: TrustedMetadata, load: LoadRole): Promise<Listing> {
  const without = new Set<string>();
  const faults = new Map<string, { readonly role: string; readonly fault: Fault }>();
  let trusted = start;
  const loadOnce: LoadRole = async (before, chain) => {
    if (without.has(chainKey(chain))) return undefined;
    const next = await load(before, chain).catch((error: unknown) => asVerdict(error));
    if (next instanceof Fault) faults.set(chainKey(chain), { role: roleOf(chain), fault: next });
    if (next !== undefined && !(next instanceof Fault)) return next;
    without.add(chainKey(chain));
    return undefined;
  };
  for (let chain = nextRole(trusted, without); chain !== undefined; chain = nextRole(trusted, without))
    trusted = (await loadOnce(trusted, chain)) ?? trusted;

  const targets: Target[] = [];
  for (const path of namesOf(trusted)) {
    const resolved = await resolve(trusted, path, loadOnce);
    trusted = resolved.trusted;
    if (resolved.target !== undefined) targets.push(resolved.target);
  }
  const found = [...faults.values()];
  return { targets, faults: found.map(({ fault }) => fault), refused: found.map(({ role }) => role), trusted };
}

/**
 * @throws `error` when it is not a verdict about metadata: a full disk or a lost connection ends
 *   the search.
 */
function asVerdict(error: unknown): Fault {
  if (error instanceof Fault && error.code.startsWith("trust.")) return error;
  throw error;
}
