// `sallyport-release publish`: copies the repository to the directory that is served. A reader sees
// the old repository or the new one, never a mixture. [OTA-20]
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { MANIFEST_BYTES_MAX, type OsManifest } from "../../ota/install/format.ts";
import { chunkPath, INDEX_BYTES_MAX, readIndex } from "../../ota/index/format/index.ts";
import { putCopy, digestOf, getFile } from "./files.ts";
import { manifestOf } from "./image.ts";
import { layoutOf, metadataPath, publishedAt, targetPath } from "./layout.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import { isRepository, readRepository, type ReleaseRepository } from "./repository.ts";

export interface PublishedRelease {
  readonly to: string;
  readonly copied: number;
  readonly timestamp: number;
}

/**
 * Copies the files that the timestamp leads to and `to` lacks: chunks, indexes and targets, then
 * metadata, and the timestamp last. Nothing is removed, because readers of the previous version may
 * still need it.
 * @throws Fault `release.conflict` for a directory with another repository or a newer state of this
 *   one; `release.store-failed`, `release.not-initialised`.
 */
export async function publish(directory: string, to: string): Promise<PublishedRelease> {
  const from = layoutOf(directory);
  const repository = await readRepository(from);
  const place = publishedAt(to);
  await checkPlace(directory, to, repository);

  let copied = 0;
  const copy = async (source: string, path: string, sha256?: string): Promise<void> => {
    const here = await digestOf(source);
    if (here === undefined || (sha256 !== undefined && here.sha256 !== sha256))
      throw new Fault("release.store-failed", `${source} is missing or damaged; add its original file again, then sign`);
    if ((await digestOf(path))?.sha256 === here.sha256) return;
    await putCopy(source, path);
    copied += 1;
  };
  for (const { targets } of repository.targets.values())
    for (const [path, { hashes }] of Object.entries(targets)) {
      const source = targetPath(from, path, hashes.sha256);
      for await (const { path: named, sha256 } of filesOf(path, source, from.published))
        await copy(join(from.published, named), join(place.published, named), sha256);
      await copy(source, targetPath(place, path, hashes.sha256), hashes.sha256);
    }
  for (let version = 1; version <= repository.root.version; version += 1)
    await copy(metadataPath(from, "root", version), metadataPath(place, "root", version));
  for (const [role, { version }] of [...repository.targets, ["snapshot", repository.snapshot] as const])
    await copy(metadataPath(from, role, version), metadataPath(place, role, version));
  await copy(metadataPath(from, "timestamp", undefined), metadataPath(place, "timestamp", undefined));
  return { to, copied, timestamp: repository.timestamp.version };
}

/**
 * Yields the chunks and indexes of a release, each index after its chunks.
 * @throws Fault `release.store-failed`, `index.invalid`.
 */
async function* filesOf(target: string, file: string, published: string): AsyncGenerator<RepositoryFile> {
  const manifest = target.startsWith("os/") ? await manifestIn(file) : undefined;
  for (const { index } of manifest?.parts ?? []) {
    const bytes = await getFile(join(published, index.path), INDEX_BYTES_MAX);
    if (bytes === undefined)
      throw new Fault(
        "release.store-failed",
        `${join(published, index.path)} is missing; add the parts of "${target}" again, then sign`,
      );
    const chunks = readIndex(bytes);
    for (const id of new Set(Array.from({ length: chunks.count }, (_, n) => chunks.at(n).id)))
      yield { path: `${manifest?.store}/${chunkPath(id)}`, sha256: undefined };
    yield { path: index.path, sha256: index.sha256 };
  }
}

interface RepositoryFile {
  readonly path: string;
  readonly sha256: string | undefined;
}

async function manifestIn(file: string): Promise<OsManifest | undefined> {
  const size = (await digestOf(file))?.length ?? 0;
  if (size > MANIFEST_BYTES_MAX) return undefined;
  const bytes = await getFile(file, MANIFEST_BYTES_MAX);
  return bytes === undefined ? undefined : manifestOf(bytes);
}

/** Refuses here the two cases that devices would refuse later. */
async function checkPlace(directory: string, to: string, { timestamp }: ReleaseRepository): Promise<void> {
  const place = publishedAt(to);
  const served = await getFile(metadataPath(place, "root", 1), METADATA_BYTES_MAX);
  const own = await getFile(metadataPath(layoutOf(directory), "root", 1), METADATA_BYTES_MAX);
  if (served !== undefined && own !== undefined && !Buffer.from(served).equals(own))
    throw new Fault("release.conflict", `${to} contains another repository: its first root is not that of ${directory}`);
  if (!(await isRepository(place))) return;
  const there = await readRepository(place);
  if (there.timestamp.version > timestamp.version)
    throw new Fault(
      "release.conflict",
      `${to} has timestamp version ${there.timestamp.version}, but ${directory} has ${timestamp.version}, and devices would refuse the older one; get the newer copy of the repository first`,
    );
}
