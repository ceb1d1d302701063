// The working state of a trust store: what is trusted, and where it is stored. Metadata is stored
// once it is checked, and trusted after that, so that a store never knows less than the program.
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { metadataName } from "./format/names.ts";
import { checkExpiry } from "./checks.ts";
import { TARGETS_BYTES_MAX } from "./limits.ts";
import { type Damage, isDamage, readStored, storedName } from "./stored.ts";
import { restoreTargets, updateTargets } from "./targets.ts";
import { type Chain, chainKey, metaOf, roleOf, type TrustedMetadata } from "./trusted.ts";

/**
 * The source of new metadata: a repository's `metadata/` by its file names, or the files that were
 * handed over. The port must stop reading after `bytesMax`.
 * @returns undefined when there is no such file.
 * @throws Fault of the transport when that cannot be known.
 */
export type Fetch = (name: string, bytesMax: number) => Promise<Uint8Array | undefined>;

export interface Source {
  readonly fetch: Fetch;
  /**
   * TUF 5.1: fixed at the start of a refresh. The caller's best knowledge of the time, never below
   * its time floor.
   */
  readonly nowMs: number;
}

export interface RefreshSession {
  readonly files: DurableFiles;
  trusted: TrustedMetadata;
  rootToStore: Uint8Array | undefined;
  /** By name, so that each file is listed once. */
  readonly damaged: Map<string, Damage>;
}

/** [OTA-9] @throws Fault `trust.too-large` for a port that did not stop, and those of the port. */
export async function fetchBounded({ fetch }: Source, name: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const bytes = await fetch(name, bytesMax);
  if (bytes !== undefined && bytes.byteLength > bytesMax)
    throw new Fault("trust.too-large", `${name} has more than ${bytesMax} bytes, which is the most that is accepted`);
  return bytes;
}

/** @throws Fault `trust.missing`, besides those of {@link fetchBounded}. */
export async function fetchRequired(source: Source, name: string, bytesMax: number): Promise<Uint8Array> {
  const bytes = await fetchBounded(source, name, bytesMax);
  if (bytes === undefined) throw new Fault("trust.missing", `the repository has no ${name}`);
  return bytes;
}

/**
 * The name of a role's file on the repository. TUF section 6.2: with consistent snapshots it
 * contains the version.
 */
export function fileNameOf({ root }: TrustedMetadata, role: string, version: number): string {
  return metadataName(role, root.signed.consistent_snapshot ? version : undefined);
}

/**
 * TUF 5.6.1 to 5.6.6: makes a role trusted, from the store when it has the right version, otherwise
 * from `source`.
 * @throws Fault of every check, `trust.missing`, and those of files and source.
 */
export async function loadRole(
  session: RefreshSession,
  trusted: TrustedMetadata,
  chain: Chain,
  source: Source,
): Promise<TrustedMetadata> {
  const role = roleOf(chain);
  const announced = metaOf(trusted, role);
  if (announced === undefined) throw new Fault("trust.missing", `"${role}" is not listed by the snapshot (TUF 5.6.1)`);
  const stored = await storedTargets(session, chain, (bytes) => updateTargets(trusted, chain, bytes, undefined));
  const targets = stored?.targets.get(chainKey(chain));
  if (stored !== undefined && targets !== undefined) {
    checkExpiry(targets, source.nowMs, `"${role}" ${announced.version}`, "5.6.5");
    return stored;
  }
  const bytesMax = Math.min(announced.length ?? TARGETS_BYTES_MAX, TARGETS_BYTES_MAX);
  const bytes = await fetchRequired(source, fileNameOf(trusted, role, announced.version), bytesMax);
  const next = updateTargets(trusted, chain, bytes, source.nowMs);
  await session.files.put(storedName(role), bytes); // 5.6.6
  return next;
}

/**
 * A role as it was accepted before, even if the snapshot names another version by now.
 * @returns undefined when there is none.
 */
export async function loadStoredRole(
  session: RefreshSession,
  trusted: TrustedMetadata,
  chain: Chain,
): Promise<TrustedMetadata | undefined> {
  return await storedTargets(session, chain, (bytes) => restoreTargets(trusted, chain, bytes));
}

/**
 * A stored file of another version, or signed by former keys, is only out of date, and the new one
 * replaces it.
 */
const OUT_OF_DATE = ["trust.mismatch", "trust.bad-signature"];

async function storedTargets(
  session: RefreshSession,
  chain: Chain,
  accept: (bytes: Uint8Array) => TrustedMetadata,
): Promise<TrustedMetadata | undefined> {
  const found = await readStored(session.files, storedName(roleOf(chain)), TARGETS_BYTES_MAX, accept);
  if (!isDamage(found)) return found;
  if (!OUT_OF_DATE.includes(found.fault.code)) session.damaged.set(found.name, found);
  return undefined;
}
