// A signed repository taken over into the one that the hub serves, so that a reader sees the old one or the new, never half. [OTA-14] [OTA-37]
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { metadataName } from "../../ota/trust/format/index.ts";
import { putCopy, digestOf, isSame, getFile, listFiles } from "./copy.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import { checkComplete, timestampOf } from "./completeness.ts";

export interface PublishedRepository {
  /** Where it is served from. */
  readonly directory: string;
  /** Files that were not there yet. */
  readonly copied: number;
  /** Version of the timestamp now served. */
  readonly timestamp: number;
}

const TIMESTAMP = `metadata/${metadataName("timestamp", undefined)}`;
const FIRST_ROOT = `metadata/${metadataName("root", 1)}`;

/**
 * Copies what lies in `from` and not in `to` yet: targets, chunks and whatever else first, then roots, then the rest of the metadata, the timestamp last and by
 * rename. Nothing is removed: readers of the version before may still be on their way.
 * @param from what `sallyport-release init` made, of which only `repository` is taken, or a copy that it published.
 * @throws Fault `release.not-initialised` when there is no repository, `release.store-failed` when files of it are missing or damaged, `release.conflict` for
 *   another repository than the one served, or an older state of it.
 */
export async function publishRepository(from: string, to: string): Promise<PublishedRepository> {
  const source = await repositoryIn(from);
  const { version } = await checkComplete(source);
  const paths = await listFiles(source);
  await checkFollows(source, to, version);
  await checkHistory(source, to, paths);
  let copied = 0;
  for (const path of [...paths].sort((a, b) => rank(a) - rank(b))) {
    if (path === TIMESTAMP || (await isSame(join(source, path), join(to, path)))) continue;
    await putCopy(join(source, path), join(to, path));
    copied += 1;
  }
  if (await isSame(join(source, TIMESTAMP), join(to, TIMESTAMP))) return { directory: to, copied, timestamp: version };
  await checkFollows(source, to, version); // somebody else may have published meanwhile
  await putCopy(join(source, TIMESTAMP), join(to, TIMESTAMP));
  return { directory: to, copied: copied + 1, timestamp: version };
}

/** What another file names comes before it. */
function rank(path: string): number {
  if (!path.startsWith("metadata/")) return 0;
  if (/^metadata\/\d+\.root\.json$/.test(path)) return 1;
  return /^metadata\/\d+\.snapshot\.json$/.test(path) ? 3 : 2;
}

/** @returns the directory with `metadata` in it. */
async function repositoryIn(from: string): Promise<string> {
  for (const directory of [join(from, "repository"), from])
    if ((await getFile(join(directory, FIRST_ROOT), METADATA_BYTES_MAX)) !== undefined) return directory;
  throw new Fault(
    "release.not-initialised",
    `publish "${from}": there is no repository in it; expected the directory that sallyport-release init made`,
  );
}

/** Devices would refuse what this forbids; better to refuse it here. [OTA-5] */
async function checkFollows(source: string, to: string, version: number): Promise<void> {
  const [theirs, ours] = [
    await getFile(join(source, FIRST_ROOT), METADATA_BYTES_MAX),
    await getFile(join(to, FIRST_ROOT), METADATA_BYTES_MAX),
  ];
  if (ours === undefined) return;
  if (theirs === undefined || !Buffer.from(ours).equals(theirs))
    throw new Fault(
      "release.conflict",
      `publish "${source}": it is another repository than the one in "${to}": their first roots differ; devices would never accept it`,
    );
  const served = await timestampOf(to);
  if (served === undefined) return;
  if (served.version > version)
    throw new Fault(
      "release.conflict",
      `publish "${source}": its timestamp is version ${version}, the one in "${to}" is ${served.version}: devices would refuse the step back; get the newer copy of the repository first`,
    );
}

/** A version is signed once: with two of one number devices would stay with the one they met first. */
async function checkHistory(source: string, to: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (!/^metadata\/\d+\./.test(path) || (await digestOf(join(to, path))) === undefined) continue;
    if (!(await isSame(join(source, path), join(to, path))))
      throw new Fault(
        "release.conflict",
        `publish "${source}": its "${path}" differs from the one in "${to}": both were signed as that version; go on from the copy that was published`,
      );
  }
}
