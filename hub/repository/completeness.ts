// Whether a repository is whole: every file that its timestamp leads to is there, as it was announced. Signatures are for those to judge who hold a root; what
// is missing or cut is caught here, before a device meets it.
import { join } from "node:path";
import type * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { metadataName, targetName } from "../../ota/trust/format/index.ts";
import {
  type MetaFile,
  parseMetadata,
  rootSchema,
  snapshotSchema,
  type TargetFile,
  targetsSchema,
  timestampSchema,
} from "../../ota/trust/format/metadata.ts";
import { digestOf, getFile } from "./copy.ts";
import { METADATA_BYTES_MAX, ROOTS_MAX } from "./limits.ts";

/** @returns the timestamp's version. @throws Fault `release.not-initialised`, `release.store-failed`, `trust.invalid`, `trust.too-large`. */
export async function checkComplete(directory: string): Promise<{ readonly version: number }> {
  const timestamp = await timestampOf(directory);
  if (timestamp === undefined)
    throw new Fault(
      "release.not-initialised",
      `publish "${directory}": it has no timestamp yet; run sallyport-release sign first`,
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
  const { version, meta } = parseMetadata(timestampSchema, bytes, METADATA_BYTES_MAX, path).signed;
  return { version, meta };
}

/** Where the newest root says so, files bear their versions and hashes in their names. TUF section 6.2. */
async function newestRootIsConsistent(directory: string): Promise<boolean> {
  let newest = false;
  for (let version = 1; version <= ROOTS_MAX; version += 1) {
    const path = join(directory, "metadata", metadataName("root", version));
    const bytes = await getFile(path, METADATA_BYTES_MAX);
    if (bytes === undefined) break;
    newest = parseMetadata(rootSchema, bytes, METADATA_BYTES_MAX, path).signed.consistent_snapshot;
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
  const { signed } = parseMetadata(schema, bytes, METADATA_BYTES_MAX, path);
  if (signed.version !== announced.version)
    throw damaged(path, `it is version ${signed.version}, announced is ${announced.version}`);
  if (announced.length !== undefined && bytes.byteLength > announced.length)
    throw damaged(path, `it has ${bytes.byteLength} bytes, announced are ${announced.length}`);
  const sha256 = announced.hashes?.get("sha256");
  if (sha256 !== undefined && (await digestOf(path))?.sha256 !== sha256) throw damaged(path, "it is not what was announced");
  return signed;
}

async function checkTarget(directory: string, name: string, { length, hashes }: TargetFile, consistent: boolean): Promise<void> {
  const sha256 = hashes.get("sha256");
  const path = join(directory, "targets", targetName(name, consistent ? sha256 : undefined));
  const found = await digestOf(path);
  if (found === undefined) throw damaged(path, "it is missing");
  if (found.length !== length || (sha256 !== undefined && found.sha256 !== sha256))
    throw damaged(path, "it is not what was signed");
}

function damaged(path: string, how: string): Fault {
  return new Fault(
    "release.store-failed",
    `publish "${path}": ${how}; put it back from the release tool's own copy, then publish again`,
  );
}
