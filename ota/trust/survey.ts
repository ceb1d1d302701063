// A whole repository as a client sees it, for people who sign, publish or order. There is no second
// verifier: a trust store of its own runs the cycle that every device runs. [OTA-25]
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import type { Listing } from "./catalogue.ts";
import { parseEnvelope, parseSigned, timestampSchema } from "./format/metadata.ts";
import { metadataName } from "./format/names.ts";
import { reachOf, type TargetCustom } from "./format/target.ts";
import { customOf } from "./judge.ts";
import { ROOT_BYTES_MAX, SNAPSHOT_BYTES_MAX, TIMESTAMP_BYTES_MAX } from "./limits.ts";
import { createMemoryFiles } from "./memory-files.ts";
import { onlineKeys, trustRoot } from "./root.ts";
import { namesOf, type Target } from "./search.ts";
import type { Fetch } from "./session.ts";
import { openTrustStore } from "./store.ts";
import { metaOf, type TrustedMetadata } from "./trusted.ts";
import { ONLINE_KEYS_FILE, storedName } from "./stored.ts";

/** Roots that are followed in a directory that is published already. */
const ROOTS_MAX = 1024;

export interface SurveyOptions {
  /** The root that the reader trusts already. It must not come from the server of the files. */
  readonly root: Uint8Array;
  /** The source of bytes: a repository's `metadata/` by its file names. */
  readonly fetch: Fetch;
  readonly nowMs: number;
}

/**
 * Verifies a repository from its root on, with a store in memory.
 * @returns the targets that a client would find. `faults` names each role that it would refuse.
 * @throws Fault `trust.*` when root, timestamp, snapshot or top-level targets are refused; those of
 *   `fetch`.
 */
export async function surveyRepository({ root, fetch, nowMs }: SurveyOptions): Promise<Listing> {
  return await listFrom(createMemoryFiles(), root, fetch, nowMs);
}

/** A target that some device could accept. */
export interface ReleasedTarget {
  readonly target: Target;
  readonly custom: TargetCustom;
  /** Whom it reaches, as a text for people. */
  readonly reach: string;
}

export interface CheckedRepository {
  readonly listing: Listing;
  readonly targets: readonly ReleasedTarget[];
  /** [OTA-29] Delegated roles that have expired, and that are served in this version already. */
  readonly tolerated: readonly Fault[];
}

/**
 * [OTA-25] Verifies a repository before clients see it: as a client that starts from `root`, and as
 * one that has accepted what `published` serves now. Unlike a client it tolerates nothing but a
 * delegated role that has expired where it is served already [OTA-29]: each other role must be
 * accepted, and each target must be for some device.
 * @param published `metadata/` of what is served now; undefined when nothing is.
 * @throws Fault `trust.*` as a client would; `release.refused` for a target that no client would
 *   find or accept.
 */
export async function checkRepository(options: SurveyOptions, published: Fetch | undefined): Promise<CheckedRepository> {
  const { root, fetch, nowMs } = options;
  const files = published === undefined ? undefined : await acceptedFiles(published);
  const served = files === undefined ? undefined : (await openTrustStore(files, root)).trusted;
  const listing = await surveyRepository(options);
  const tolerated = expectFaultsOfServed(listing, served);
  if (files !== undefined) expectFaultsOfServed(await listFrom(files, root, fetch, nowMs), served);
  const found = new Set(listing.targets.map(({ path }) => path));
  const hidden = namesOf(listing.trusted).find((path) => !found.has(path));
  if (hidden !== undefined)
    throw new Fault(
      "release.refused",
      `target "${hidden}": no role that lists it may speak for that name, so no device would find it`,
    );
  return { listing, targets: listing.targets.map((target) => released(target)), tolerated };
}

async function listFrom(files: DurableFiles, root: Uint8Array, fetch: Fetch, nowMs: number): Promise<Listing> {
  const store = await openTrustStore(files, root);
  return await (await store.refresh({ fetch, nowMs })).list();
}

/**
 * [OTA-29] A role whose key is not at hand must not keep the timestamp from being renewed for all
 * others: it is no worse off than before.
 * @returns the faults that change nothing for clients.
 * @throws the first other one.
 */
function expectFaultsOfServed({ faults, refused, trusted }: Listing, served: TrustedMetadata | undefined): readonly Fault[] {
  for (const [at, fault] of faults.entries()) {
    const role = refused[at] ?? "";
    const version = metaOf(trusted, role)?.version;
    const isServed = served !== undefined && version !== undefined && metaOf(served, role)?.version === version;
    if (fault.code !== "trust.expired" || !isServed) throw fault;
  }
  return faults;
}

function released(target: Target): ReleasedTarget {
  const custom = customOf(target.path, target.file.custom);
  if (custom instanceof Fault) throw new Fault("release.refused", custom.message, { cause: custom });
  if (custom.line.split("/")[0] !== target.path.split("/")[0])
    throw new Fault("release.refused", `target "${target.path}" claims the line "${custom.line}" of another role`);
  const reach = reachOf(custom.audience);
  if (reach === undefined)
    throw new Fault("release.refused", `target "${target.path}" is for no device: its audience names nobody`);
  return { target, custom, reach };
}

/**
 * The store of a client that has accepted what is served now. Its dates do not matter: some client
 * accepted it in time.
 * @returns undefined when nothing readable is served.
 */
async function acceptedFiles(published: Fetch): Promise<DurableFiles | undefined> {
  const files = createMemoryFiles();
  const root = await newestRoot(published);
  const timestamp = await published(metadataName("timestamp", undefined), TIMESTAMP_BYTES_MAX);
  if (root === undefined || timestamp === undefined) return undefined;
  const { signed } = trustRoot(root).root;
  const what = "published timestamp";
  const envelope = parseEnvelope(timestamp, TIMESTAMP_BYTES_MAX, what);
  const { version } = parseSigned(timestampSchema, envelope, what).signed.meta["snapshot.json"];
  const snapshot = await published(
    metadataName("snapshot", signed.consistent_snapshot ? version : undefined),
    SNAPSHOT_BYTES_MAX,
  );
  await files.put(storedName("root"), root);
  await files.put(ONLINE_KEYS_FILE, Buffer.from(onlineKeys(trustRoot(root).root)));
  await files.put(storedName("timestamp"), timestamp);
  if (snapshot !== undefined) await files.put(storedName("snapshot"), snapshot);
  return files;
}

async function newestRoot(published: Fetch): Promise<Uint8Array | undefined> {
  let newest: Uint8Array | undefined;
  for (let version = 1; version <= ROOTS_MAX; version += 1) {
    const next = await published(metadataName("root", version), ROOT_BYTES_MAX);
    if (next === undefined) break;
    newest = next;
  }
  return newest;
}
