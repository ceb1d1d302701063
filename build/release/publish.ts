// `sallyport-release publish`: copies the repository to the directory that is served. A reader sees
// the old repository or the new one, never a mixture. [OTA-20]
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { checkContents } from "../../ota/trust/index.ts";
import { putCopy, digestOf, getFile } from "./files.ts";
import { listKeys } from "./key-changes.ts";
import { layoutOf, metadataPath, publishedAt } from "./layout.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import { isRepository, readRepository, type ReleaseRepository } from "./repository.ts";
import { listWaiting } from "./sign.ts";
import { listDrafts } from "./staged.ts";
import { waitingText } from "./texts.ts";
import { checkAsClient, contentsIn, fetchFrom } from "./verify.ts";

export interface PublishedRelease {
  readonly to: string;
  readonly copied: number;
  readonly timestamp: number;
  /** What devices refuse, and refuse already: delegated roles that have expired. [OTA-29] */
  readonly warnings: readonly string[];
}

export interface PublishOptions {
  readonly nowMs: number;
  /** True: drafts may be left behind. Otherwise they are a reason to refuse. [OTA-26] */
  readonly withoutDrafts?: boolean;
}

/**
 * Copies the files that the timestamp leads to and `to` lacks: chunks, indexes and targets, then
 * metadata, and the timestamp last. Nothing is removed, because readers of the previous version may
 * still need it.
 * @throws Fault `release.conflict` for a directory with another repository or a newer state of this
 *   one; `release.refused` for drafts and for targets that reach no device; `trust.*` for metadata
 *   that a client would refuse; `release.store-failed`, `release.not-initialised`. [OTA-25]
 */
export async function publish(
  directory: string,
  to: string,
  { nowMs, withoutDrafts }: PublishOptions,
): Promise<PublishedRelease> {
  const from = layoutOf(directory);
  const repository = await readRepository(from);
  const place = publishedAt(to);
  if (withoutDrafts !== true) await expectNoDrafts(directory, nowMs);
  await checkPlace(directory, to, repository);
  const published = (await isRepository(place)) ? fetchFrom(place) : undefined;
  const checked = await checkAsClient(`publish "${directory}"`, from, { fetch: fetchFrom(from), published, nowMs });
  const contents = await checkContents(
    checked.listing,
    checked.targets.map(({ target }) => target),
    { ...contentsIn(from), isKnown: (path) => isSameSize(join(from.published, path), join(place.published, path)) },
  );

  let copied = 0;
  const copy = async (source: string, path: string): Promise<void> => {
    const here = await digestOf(source);
    if (here === undefined)
      throw new Fault("release.store-failed", `${source} is missing; restore it from a copy of the repository`);
    if ((await digestOf(path))?.sha256 === here.sha256) return;
    await putCopy(source, path);
    copied += 1;
  };
  for (const path of contents) await copy(join(from.published, path), join(place.published, path));
  for (let version = 1; version <= repository.root.version; version += 1)
    await copy(metadataPath(from, "root", version), metadataPath(place, "root", version));
  for (const [role, { version }] of [...repository.targets, ["snapshot", repository.snapshot] as const])
    await copy(metadataPath(from, role, version), metadataPath(place, role, version));
  await copy(metadataPath(from, "timestamp", undefined), metadataPath(place, "timestamp", undefined));
  const warnings = checked.tolerated.map(({ message }) => message);
  return { to, copied, timestamp: repository.timestamp.version, warnings };
}

/**
 * [OTA-26] [OTA-28] Somebody who publishes believes that everything that was added goes out, and
 * that what was signed has all its signatures.
 */
async function expectNoDrafts(directory: string, nowMs: number): Promise<void> {
  const drafts = (await listDrafts(directory)).map(({ target }) => target);
  const changes = (await listKeys(directory)).flatMap(({ role, draft }) => (draft === undefined ? [] : [`the keys of ${role}`]));
  const begun = (await listWaiting(directory, nowMs)).filter(({ progress }) => progress.some(({ signed }) => signed.length > 0));
  const waiting = begun.map((each) => waitingText(each));
  const names = [...drafts, ...changes];
  const are = names.length === 1 ? "is a draft" : "are drafts";
  const why = [
    ...(names.length === 0 ? [] : [`${names.join(", ")} ${are} without enough signatures`]),
    ...(waiting.length === 0 ? [] : [`signatures are missing: ${waiting.join("; ")}`]),
  ];
  if (why.length > 0)
    throw new Fault(
      "release.refused",
      `publish "${directory}": ${why.join("; ")}; sign or remove what sallyport-release drafts lists, or leave it behind with --without-drafts`,
    );
}

/** A chunk is named by its content, so one of the same name and size is the same. */
async function isSameSize(source: string, path: string): Promise<boolean> {
  const sizes = await Promise.all([source, path].map(async (file) => (await stat(file).catch(() => undefined))?.size));
  return sizes[0] !== undefined && sizes[0] === sizes[1];
}

/**
 * Refuses here what devices would refuse later, or would never notice: a version may be signed only
 * once, because they keep the first of two with the same number.
 */
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
  await expectSameVersions(directory, to, there.timestamp.version === timestamp.version);
}

async function expectSameVersions(directory: string, to: string, sameTimestamp: boolean): Promise<void> {
  const [from, place] = [layoutOf(directory), publishedAt(to)];
  const { root, snapshot, targets } = await readRepository(from);
  const versions = [
    ["root", root.version],
    ["snapshot", snapshot.version],
    ...[...targets].map(([role, { version }]) => [role, version] as const),
  ] as const;
  const names = [
    ...versions.map(([role, version]) => [metadataPath(from, role, version), metadataPath(place, role, version)] as const),
    ...(sameTimestamp
      ? [[metadataPath(from, "timestamp", undefined), metadataPath(place, "timestamp", undefined)] as const]
      : []),
  ];
  for (const [own, served] of names) {
    const [here, there] = [await digestOf(own), await digestOf(served)];
    if (here !== undefined && there !== undefined && here.sha256 !== there.sha256)
      throw new Fault(
        "release.conflict",
        `${own} differs from ${served}, although both were signed as the same version; continue with the copy that was published`,
      );
  }
}
