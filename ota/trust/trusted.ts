// What a device believes about the repository: metadata whose signatures were checked. A value; each step of the workflow makes a new one.
import type { Metadata, MetaFile, Root, Snapshot, Targets, Timestamp } from "./format/metadata.ts";

export interface TrustedMetadata {
  readonly root: Metadata<Root>;
  readonly timestamp?: Metadata<Timestamp>;
  /** May be older than the timestamp says: it is still what a new one is compared with (TUF 5.5.5). */
  readonly snapshot?: Metadata<Snapshot>;
  /** Targets and delegated roles by {@link chainKey}, as far as they were looked at. */
  readonly targets: ReadonlyMap<string, Metadata<Targets>>;
}

/**
 * [OTA-10] The way to a role: `targets`, then who was delegated to, one after the other. A role is believed along one way at a time: another delegator may name
 * other keys for it.
 */
export type Chain = readonly [...string[], string];

export const TARGETS: Chain = ["targets"];

export function chainKey(chain: Chain): string {
  return JSON.stringify(chain);
}

/** The role at the end of it. */
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

/** What the current snapshot says of a role's file. */
export function metaOf(trusted: TrustedMetadata, role: string): MetaFile | undefined {
  return currentSnapshot(trusted)?.signed.meta.get(`${role}.json`);
}
