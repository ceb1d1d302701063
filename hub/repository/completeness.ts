// The completeness check of a repository: every file that its timestamp leads to exists and is as
// announced. Signatures are checked by those who have a root; this finds missing and damaged files
// before a device does.
import { join } from "node:path";
import type * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { metadataName, targetName } from "../../ota/trust/format/index.ts";
import {
  type MetaFile,
  parseEnvelope,
  parseSigned,
  rootSchema,
  snapshotSchema,
  type TargetFile,
  targetsSchema,
  timestampSchema,
} from "../../ota/trust/format/metadata.ts";
import { digestOf, getFile } from "./copy.ts";
import { METADATA_BYTES_MAX, ROOTS_MAX } from "./limits.ts";

/**
 * @returns the timestamp's version.
 * @throws Fault `release.not-initialised`, `release.store-failed`, `trust.invalid`,
 *   `trust.too-large`.
 */
export async function checkComplete(directory: string): Promise<{ readonly version: number }> {
  const timestamp = await timestampOf(directory);
  if (timestamp === undefined)
    throw new Fault(
      "release.not-initialised",
      `publish "${directory}": it has no timestamp yet; first run sallyport-release sign`,
    );
  const consistent = await newestRootIsConsistent(directory);
  const announced = timestamp.meta["snapshot.json"];
  const snapshot = await read(directory, snapshotSchema, "snapshot", consistent ? announced.version : undefined, announced);
  for (const [name, file] of snapshot.meta) {
    const role = name.replace(/\.json$/u, "");
    const { targets } = await read(directory, targetsSchema, role, consistent ? file.version : undefined, file);
    for (const [path, target] of targets) await checkTarget(directory, path, target, consistent);
  }
  return { version: timestamp.version };
}

export async function timestampOf(directory: string) {
  const path = join(directory, "metadata", metadataName("timestamp", undefined));
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  if (bytes === undefined) return undefined;
  const { version, meta } = parseSigned(timestampSchema, parseEnvelope(bytes, METADATA_BYTES_MAX, path), path).signed;
  return { version, meta };
}

/** The newest root says whether file names contain versions and hashes. TUF section 6.2. */
async function newestRootIsConsistent(directory: string): Promise<boolean> {
  let newest = false;
  for (let version = 1; version <= ROOTS_MAX; version += 1) {
    const path = join(directory, "metadata", metadataName("root", version));
    const bytes = await getFile(path, METADATA_BYTES_MAX);
    if (bytes === undefined) break;
    newest = parseSigned(rootSchema, parseEnvelope(bytes, METADATA_BYTES_MAX, path), path).signed.consistent_snapshot;
  }
  return newest;
}

async function read<const S extends typeof snapshotSchema | typeof targetsSchema>(
  directory: string,
  schema: S,
  role: string,
  version: number | undefined,
  announced: MetaFile,
): Promise<v.InferOutput<S>> {
  const path = join(directory, "metadata", metadataName(role, version));
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  if (bytes === undefined) throw damaged(path, "it is missing");
  const { signed } = parseSigned(schema, parseEnvelope(bytes, METADATA_BYTES_MAX, path), path);
  if (signed.version !== announced.version)
    throw damaged(path, `it has version ${signed.version}, but version ${announced.version} was announced`);
  if (announced.length !== undefined && bytes.byteLength > announced.length)
    throw damaged(path, `it has ${bytes.byteLength} bytes, but ${announced.length} were announced`);
  const sha256 = announced.hashes?.get("sha256");
  if (sha256 !== undefined && (await digestOf(path))?.sha256 !== sha256)
    throw damaged(path, "its content is not what was announced");
  return signed;
}

async function checkTarget(directory: string, name: string, { length, hashes }: TargetFile, consistent: boolean): Promise<void> {
  const sha256 = hashes.get("sha256");
  const path = join(directory, "targets", targetName(name, consistent ? sha256 : undefined));
  const found = await digestOf(path);
  if (found === undefined) throw damaged(path, "it is missing");
  if (found.length !== length || (sha256 !== undefined && found.sha256 !== sha256))
    throw damaged(path, "its content is not what was signed");
}

function damaged(path: string, how: string): Fault {
  return new Fault(
    "release.store-failed",
    `publish "${path}": ${how}; restore it from the release tool's copy, then publish again`,
  );
}
