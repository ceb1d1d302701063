// Publishing a signed repository into the one that the hub serves. A reader sees the old repository
// or the new one, never a mixture. [OTA-20] [OTA-37]
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { metadataName } from "../../ota/trust/format/index.ts";
import { checkAsClient, timestampOf } from "./check.ts";
import { putCopy, digestOf, isSame, getFile, listFiles } from "./copy.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";

export interface PublishedRepository {
  /** The directory that is served. */
  readonly directory: string;
  /** How many files were new. */
  readonly copied: number;
  /** Version of the timestamp that is served now. */
  readonly timestamp: number;
  /** What devices refuse, and refuse already: delegated roles that have expired. [OTA-29] */
  readonly warnings: readonly string[];
}

export interface RepositoryPublishOptions {
  readonly nowMs: number;
  /** True: drafts may be left behind. Otherwise they are a reason to refuse. [OTA-26] */
  readonly withoutDrafts?: boolean;
}

const TIMESTAMP = `metadata/${metadataName("timestamp", undefined)}`;
const FIRST_ROOT = `metadata/${metadataName("root", 1)}`;

/**
 * Copies the files of `from` that `to` lacks: first targets, chunks and other files, then roots,
 * then the rest of the metadata, and the timestamp last. Nothing is removed, because readers of the
 * previous version may still need it.
 * @param from a directory that `sallyport-release init` made, of which only `repository` is used,
 *   or a copy that the release tool published.
 * @throws Fault `release.not-initialised` when there is no repository; `release.store-failed` when
 *   files of it are missing or damaged; `release.conflict` for another repository than the served
 *   one, or an older state of it; `release.refused` for drafts and for targets that reach no
 *   device; `trust.*` for metadata that a client would refuse. [OTA-25]
 */
export async function publishRepository(
  from: string,
  to: string,
  { nowMs, withoutDrafts = false }: RepositoryPublishOptions,
): Promise<PublishedRepository> {
  const source = await repositoryIn(from);
  if (!withoutDrafts) await expectNoDrafts(from);
  const paths = await listFiles(source);
  const version = await timestampIn(source);
  await checkFollows(source, to, version);
  await checkHistory(source, to, paths);
  const warnings = await checkAsClient(source, to, nowMs);
  let copied = 0;
  for (const path of [...paths].sort((a, b) => rank(a) - rank(b))) {
    if (path === TIMESTAMP || (await isSame(join(source, path), join(to, path)))) continue;
    await putCopy(join(source, path), join(to, path));
    copied += 1;
  }
  if (await isSame(join(source, TIMESTAMP), join(to, TIMESTAMP))) return { directory: to, copied, timestamp: version, warnings };
  await checkFollows(source, to, version); // another process may have published in the meantime
  await putCopy(join(source, TIMESTAMP), join(to, TIMESTAMP));
  return { directory: to, copied: copied + 1, timestamp: version, warnings };
}

/** A file comes before the files that refer to it. */
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
    `publish "${from}": it contains no repository; expected a directory that sallyport-release init made`,
  );
}

async function timestampIn(source: string): Promise<number> {
  const timestamp = await timestampOf(source);
  if (timestamp !== undefined) return timestamp.version;
  throw new Fault("release.not-initialised", `publish "${source}": it has no timestamp yet; first run sallyport-release sign`);
}

/**
 * [OTA-26] [OTA-28] Somebody who publishes believes that everything that was added goes out, and
 * that what was signed has all its signatures.
 */
async function expectNoDrafts(from: string): Promise<void> {
  const staged = await readdir(join(from, "staged")).catch(() => []);
  const signing = await readdir(join(from, "staged", "signing")).catch(() => []);
  if (staged.length === 0) return;
  const what =
    signing.length === 0
      ? "it has drafts that nobody has signed"
      : `signatures are missing on ${signing.map((name) => name.replace(/\.json$/u, "")).join(", ")}`;
  throw new Fault(
    "release.refused",
    `publish "${from}": ${what} (sallyport-release drafts lists them); sign or remove them, or leave them behind with --without-drafts`,
  );
}

/** Refuses here what devices would refuse later. [OTA-5] */
async function checkFollows(source: string, to: string, version: number): Promise<void> {
  const [offered, served] = [
    await getFile(join(source, FIRST_ROOT), METADATA_BYTES_MAX),
    await getFile(join(to, FIRST_ROOT), METADATA_BYTES_MAX),
  ];
  if (served === undefined) return;
  if (offered === undefined || !Buffer.from(served).equals(offered))
    throw new Fault(
      "release.conflict",
      `publish "${source}": it is another repository than the one in "${to}": the first roots differ, so devices would never accept it`,
    );
  const current = await timestampOf(to);
  if (current === undefined) return;
  if (current.version === version && !(await isSame(join(source, TIMESTAMP), join(to, TIMESTAMP))))
    throw new Fault(
      "release.conflict",
      `publish "${source}": its timestamp differs from the one in "${to}", although both were signed as version ${version}; continue with the copy that was published`,
    );
  if (current.version > version)
    throw new Fault(
      "release.conflict",
      `publish "${source}": its timestamp has version ${version}, but the one in "${to}" has ${current.version}, and devices would refuse the older one; get the newer copy of the repository first`,
    );
}

/** A version may be signed only once: devices would keep the first of two with the same number. */
async function checkHistory(source: string, to: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (!/^metadata\/\d+\./.test(path) || (await digestOf(join(to, path))) === undefined) continue;
    if (!(await isSame(join(source, path), join(to, path))))
      throw new Fault(
        "release.conflict",
        `publish "${source}": its "${path}" differs from the one in "${to}", although both were signed as the same version; continue with the copy that was published`,
      );
  }
}
