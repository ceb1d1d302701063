// The files that the targets of a repository lead to: targets, and of a release its indexes and
// chunks. A client would find them missing or damaged only after it has begun. [OTA-25] [OTA-30]
// [OTA-31]
import { createHash } from "node:crypto";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { CHUNK_FILE_BYTES_MAX, chunkPath, readIndex } from "../index/format/index.ts";
import { verifyChunk } from "../index/index.ts";
import { type ImagePart, MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../install/format.ts";
import type { Listing } from "./catalogue.ts";
import { targetFileName } from "./payload.ts";
import type { Target } from "./search.ts";

export interface ContentPorts {
  /**
   * The whole file below the repository's directory.
   * @returns undefined when there is no such file.
   */
  readonly read: (path: string, bytesMax: number) => Promise<Uint8Array | undefined>;
  /** Digest and size of a file of any size. @returns undefined when there is no such file. */
  readonly digest: (path: string) => Promise<{ readonly sha256: string; readonly length: number } | undefined>;
  /** True for a chunk that needs no check, because the same file was published before. */
  readonly isKnown?: (path: string) => Promise<boolean>;
}

/**
 * [OTA-25] Checks every file that `targets` lead to: it exists, and is what was signed.
 * @returns their paths below the repository, each before the file that names it.
 * @throws Fault `release.store-failed` for a missing or damaged file; `index.invalid`; those of
 *   `ports`.
 */
export async function checkContents(
  { trusted }: Pick<Listing, "trusted">,
  targets: readonly Target[],
  ports: ContentPorts,
): Promise<readonly string[]> {
  const paths = new Set<string>();
  for (const target of targets) {
    const path = `targets/${targetFileName(trusted, target)}`;
    const found = await ports.digest(path);
    if (found === undefined) throw damaged(path, "it is missing");
    const sha256 = target.file.hashes.get("sha256");
    if (found.length !== target.file.length || (sha256 !== undefined && found.sha256 !== sha256))
      throw damaged(path, "its content is not what was signed");
    const manifest = target.path.startsWith("os/") ? await manifestIn(path, found.length, ports) : undefined;
    for (const part of manifest?.parts ?? []) await checkPart(part, manifest?.store ?? "", paths, ports);
    paths.add(path);
  }
  return [...paths];
}

async function checkPart({ index, bytes }: ImagePart, store: string, paths: Set<string>, ports: ContentPorts): Promise<void> {
  const content = await ports.read(index.path, index.bytes);
  if (content === undefined) throw damaged(index.path, "it is missing");
  if (content.byteLength !== index.bytes || createHash("sha256").update(content).digest("hex") !== index.sha256)
    throw damaged(index.path, "its content is not what was signed");
  const chunks = readIndex(content);
  if (chunks.imageBytes !== bytes) throw damaged(index.path, `it describes ${chunks.imageBytes} bytes, but ${bytes} were signed`);
  for (let n = 0; n < chunks.count; n += 1) {
    const chunk = chunks.at(n);
    const path = `${store}/${chunkPath(chunk.id)}`;
    if (paths.has(path)) continue;
    paths.add(path);
    if ((await ports.isKnown?.(path)) === true) continue;
    const packed = await ports.read(path, CHUNK_FILE_BYTES_MAX);
    if (packed === undefined) throw damaged(path, "it is missing");
    await verifyChunk(packed, chunk).catch((error: unknown) => {
      throw damaged(path, asFault(error, "chunk.tampered", "verify it").message);
    });
  }
  paths.add(index.path);
}

/** @returns undefined for a target that is no release of parts. */
async function manifestIn(path: string, length: number, ports: ContentPorts): Promise<OsManifest | undefined> {
  if (length > MANIFEST_BYTES_MAX) return undefined;
  const bytes = await ports.read(path, MANIFEST_BYTES_MAX);
  try {
    return bytes === undefined
      ? undefined
      : check(osManifestSchema, parseJson(bytes, MANIFEST_BYTES_MAX, "manifest"), "manifest");
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

function damaged(path: string, how: string): Fault {
  return new Fault(
    "release.store-failed",
    `check "${path}": ${how}; add its original file again, or restore it from a copy of the repository`,
  );
}
