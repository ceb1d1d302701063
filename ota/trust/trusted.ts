// What a device believes about the repository: metadata whose signatures were checked. It is a
// value; each step of the workflow makes a new one.
import type { Metadata, MetaFile, Root, Snapshot, Targets, Timestamp } from "./format/metadata.ts";

export interface TrustedMetadata {
  readonly root: Metadata<Root>;
  readonly timestamp?: Metadata<Timestamp>;
  /** It may be older than the timestamp says. A new one is still compared with it (TUF 5.5.5). */
  readonly snapshot?: Metadata<Snapshot>;
  /** Targets and delegated roles by {@link chainKey}, as far as they were loaded. */
  readonly targets: ReadonlyMap<string, Metadata<Targets>>;
}

/**
 * [OTA-10] The way to a role: `targets`, then each delegated role in turn. A role is trusted along
 * one way at a time, because another delegator may name other keys for it.
 */
export type Chain = readonly [...string[], string];

export const TARGETS: Chain = ["targets"];

export function chainKey(chain: Chain): string {
  return JSON.stringify(chain);
}

/** The role at the end of the chain. */
export function roleOf(chain: Chain): string {
  return chain.at(-1) ?? "targets";
}

/** @returns undefined for the top-level targets, which root delegates to. */
export function delegatorOf(trusted: TrustedMetadata, chain: Chain): Metadata<Targets> | undefined {
  return trusted.targets.get(JSON.stringify(chain.slice(0, -1)));
}

/** The snapshot, when it is the one that the timestamp names. */
export function currentSnapshot(trusted: TrustedMetadata): Metadata<Snapshot> | undefined {
  const named = trusted.timestamp?.signed.meta["snapshot.json"].version;
  return trusted.snapshot?.signed.version === named ? trusted.snapshot : undefined;
}

/** What the current snapshot says about a role's file. */
export function metaOf(trusted: TrustedMetadata, role: string): MetaFile | undefined {
  return currentSnapshot(trusted)?.signed.meta.get(`${role}.json`);
}
