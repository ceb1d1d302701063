// The repository that the timestamp leads to, as a device sees it. Files that an interrupted
// command left beside it are not part of it.
import { Fault } from "../../hal/fault.ts";
import { draftOf, type MetaDraft, metaDraft, type RootDraft, rootDraft, type TargetsDraft, targetsDraft } from "./drafts.ts";
import { getFile } from "./files.ts";
import { type WorkshopLayout, metadataPath } from "./layout.ts";
import { METADATA_BYTES_MAX, ROOTS_MAX } from "./limits.ts";

export interface ReleaseRepository {
  /** The newest root. */
  readonly root: RootDraft;
  readonly timestamp: MetaDraft;
  readonly snapshot: MetaDraft;
  /** Top-level targets and delegated roles, by name. */
  readonly targets: ReadonlyMap<string, TargetsDraft>;
}

/** @throws Fault `release.not-initialised`, `release.store-failed`, `trust.invalid`. */
export async function readRepository(place: Pick<WorkshopLayout, "metadata">): Promise<ReleaseRepository> {
  const root = await readRoot(place);
  const timestamp = await readMetadata(place, metaDraft, "timestamp", undefined);
  const snapshot = await readMetadata(place, metaDraft, "snapshot", timestamp.meta["snapshot.json"]?.version ?? 0);
  const targets = new Map<string, TargetsDraft>();
  for (const [name, { version }] of Object.entries(snapshot.meta)) {
    const role = name.replace(/\.json$/u, "");
    targets.set(role, await readMetadata(place, targetsDraft, role, version));
  }
  return { root, timestamp, snapshot, targets };
}

/** True when there is a repository that has a timestamp. */
export async function isRepository(place: Pick<WorkshopLayout, "metadata">): Promise<boolean> {
  return (await getFile(metadataPath(place, "timestamp", undefined), METADATA_BYTES_MAX)) !== undefined;
}

async function readRoot(place: Pick<WorkshopLayout, "metadata">) {
  let bytes = await getFile(metadataPath(place, "root", 1), METADATA_BYTES_MAX);
  for (let version = 2; bytes !== undefined && version <= ROOTS_MAX; version += 1) {
    const next = await getFile(metadataPath(place, "root", version), METADATA_BYTES_MAX);
    if (next === undefined) break;
    bytes = next;
  }
  if (bytes === undefined)
    throw new Fault(
      "release.not-initialised",
      `there is no repository in ${place.metadata}; make one with sallyport-release init DIR`,
    );
  return draftOf(rootDraft, bytes, "root");
}

async function readMetadata<const S extends typeof metaDraft | typeof targetsDraft>(
  place: Pick<WorkshopLayout, "metadata">,
  schema: S,
  role: string,
  version: number | undefined,
) {
  const path = metadataPath(place, role, version);
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  if (bytes === undefined)
    throw new Fault(
      version === undefined ? "release.not-initialised" : "release.store-failed",
      `${path} is missing; ${version === undefined ? "make the repository with sallyport-release init DIR" : "restore it from a copy of the repository"}`,
    );
  return draftOf(schema, bytes, path);
}
