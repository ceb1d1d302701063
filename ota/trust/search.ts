// The search for a target through the delegations, TUF 5.6.7. Pure: when it needs another role, it
// returns which.
import type { Delegation, TargetFile } from "./format/metadata.ts";
import { ROLES_VISITED_MAX } from "./limits.ts";
import { covers } from "./paths.ts";
import { type Chain, chainKey, roleOf, TARGETS, type TrustedMetadata } from "./trusted.ts";

/** A target, and the role that vouches for it. */
export interface Target {
  /** `os/gateway-2.1.json`. */
  readonly path: string;
  /** The name of the role whose metadata describes it. */
  readonly role: string;
  readonly file: TargetFile;
}

export type FoundTarget =
  | { readonly kind: "found"; readonly target: Target }
  /** The search goes on once the role at the end of this chain is trusted. */
  | { readonly kind: "needs"; readonly chain: Chain }
  | { readonly kind: "none" };

/**
 * [OTA-10] Pre-order, depth first, in order of appearance. A terminating delegation ends the search
 * after it (5.6.7.2.1). A role is visited once, and at most {@link ROLES_VISITED_MAX} roles are
 * (5.6.7.1).
 */
export function search(trusted: TrustedMetadata, path: string): FoundTarget {
  return walk(trusted, path, (delegation) => covers(delegation, path));
}

/**
 * The first role, in the order of {@link search}, that is delegated to for any path and is not
 * trusted yet; undefined when all are trusted, up to the same bound.
 * @param without keys of chains that cannot be loaded. They are skipped.
 */
export function nextRole(trusted: TrustedMetadata, without: ReadonlySet<string>): Chain | undefined {
  const result = walk(trusted, undefined, () => true, without);
  return result.kind === "needs" ? result.chain : undefined;
}

/**
 * The names of all targets in trusted roles. {@link search} decides whether a role may speak for a
 * name, and which role does.
 */
export function namesOf(trusted: TrustedMetadata): readonly string[] {
  return [...new Set([...trusted.targets.values()].flatMap(({ signed }) => [...signed.targets.keys()]))];
}

function walk(
  trusted: TrustedMetadata,
  path: string | undefined,
  follows: (delegation: Delegation) => boolean,
  without: ReadonlySet<string> = new Set(),
): FoundTarget {
  const visited = new Set<string>();
  let waiting: Chain[] = [TARGETS]; // the next one is last
  for (let chain = waiting.pop(); chain !== undefined; chain = waiting.pop()) {
    if (visited.has(roleOf(chain)) || without.has(chainKey(chain))) continue;
    if (visited.size >= ROLES_VISITED_MAX) return { kind: "none" };
    const targets = trusted.targets.get(chainKey(chain))?.signed;
    if (targets === undefined) return { kind: "needs", chain };
    const file = path === undefined ? undefined : targets.targets.get(path);
    if (path !== undefined && file !== undefined) return { kind: "found", target: { path, role: roleOf(chain), file } };
    visited.add(roleOf(chain));
    const { children, ends } = delegationsToFollow(targets.delegations?.roles ?? [], follows, path !== undefined);
    const next = children.map((name): Chain => [...chain, name]).reverse();
    waiting = ends ? next : [...waiting, ...next];
  }
  return { kind: "none" };
}

/** The delegations to follow, up to the first that terminates. */
function delegationsToFollow(
  roles: readonly Delegation[],
  follows: (delegation: Delegation) => boolean,
  terminates: boolean,
): { readonly children: readonly string[]; readonly ends: boolean } {
  const matching = roles.filter((delegation) => follows(delegation));
  const last = terminates ? matching.findIndex(({ terminating }) => terminating) : -1;
  const children = (last < 0 ? matching : matching.slice(0, last + 1)).map(({ name }) => name);
  return { children, ends: last >= 0 };
}
