// Fetching a file whose hash is known. It stays in the hand-over directory under its hash, so that
// it is asked for once, however often a step is tried again. [OTA-76]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import type { HandoverWriter } from "../../hal/ports.ts";
import { type Attempts, withAttempts } from "./attempts.ts";
import type { Repository } from "./repository.ts";

export interface FileSource extends Attempts {
  readonly repository: Repository;
  readonly drop: HandoverWriter;
}

export interface HashedFile {
  readonly path: string;
  readonly bytesMax: number;
  readonly sha256: string;
  /** True for another file of the right kind, which is returned and not kept. */
  readonly isOfItsKind?: (bytes: Uint8Array) => boolean;
}

/**
 * The name of a file that is kept; it is never that of a chunk, nor one that the warden asks for.
 */
export function keptName(sha256: string): string {
  return `k-${sha256}`;
}

export function isKeptName(name: string): boolean {
  return name.startsWith("k-");
}

/**
 * @returns undefined when the repository has no such file.
 * @throws Fault `fetch.bad-response` when what comes stays another file than the one that was
 *   signed; others as {@link withAttempts}.
 */
export async function fetchFile(source: FileSource, wanted: HashedFile): Promise<Uint8Array | undefined> {
  const { repository, drop, signal } = source;
  const { path, bytesMax, sha256, isOfItsKind } = wanted;
  const name = keptName(sha256);
  const kept = await drop.get(name, bytesMax);
  if (kept !== undefined && isFile(kept, sha256)) return kept;
  const file = await withAttempts(source, async (partial) => {
    const bytes = await repository.get(path, bytesMax, signal, partial);
    if (bytes !== undefined && !isFile(bytes, sha256) && isOfItsKind?.(bytes) !== true)
      throw new Fault("fetch.bad-response", `fetch "${path}": the repository answered with something else than what was signed`);
    return bytes;
  });
  if (file !== undefined && isFile(file, sha256)) await drop.put(name, file);
  return file;
}

function isFile(bytes: Uint8Array, sha256: string): boolean {
  return createHash("sha256").update(bytes).digest("hex") === sha256;
}
