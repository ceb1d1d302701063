// The manifest of the release being written and the index of its current part, each fetched once
// and identified by its hash. [OTA-30]
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { SlotPart } from "../../hal/format/slots.ts";
import { fetchFile, type FetchRange, windowsOf } from "../../ota/fetch/index.ts";
import type { ChunkIndex } from "../../ota/index/format/index.ts";
import { openPartIndex } from "../../ota/install/index.ts";
import { MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../../ota/install/format.ts";
import { targetName } from "../../ota/trust/format/index.ts";
import { RANGE_CHUNKS_MAX } from "./limits.ts";
import type { StepContext } from "./ports.ts";

/** A release as the warden names the one it has taken up. */
export interface NamedRelease {
  readonly target: string;
  /** SHA-256 of its payload. */
  readonly digest: string;
}

export interface ChunkedPart {
  readonly index: ChunkIndex;
  /** Directory of chunks in the repository. */
  readonly store: string;
}

type Fetcher = Pick<StepContext, "repository" | "drop" | "clock" | "random" | "signal">;

export interface ImageCache {
  /**
   * @throws Fault `image.invalid` for a part or a manifest that is not the release's; `index.*`,
   *   `fetch.*`, `tls.*`, `update.aborted`.
   */
  part(context: Fetcher, release: NamedRelease, part: SlotPart): Promise<ChunkedPart>;
  clear(): void;
}

/** Holds one manifest and one index, of the update that is under way. */
export function createImageCache(): ImageCache {
  let manifest: { readonly digest: string; readonly value: OsManifest } | undefined;
  let cached: (ChunkedPart & { readonly digest: string; readonly part: SlotPart }) | undefined;
  return {
    part: async (context, release, part) => {
      const { digest } = release;
      if (cached?.digest === digest && cached.part === part) return cached;
      cached = undefined;
      if (manifest?.digest !== digest) manifest = { digest, value: await fetchManifest(context, release) };
      cached = { digest, part, ...(await fetchPart(context, release, manifest.value, part)) };
      return cached;
    },
    clear: () => {
      manifest = undefined;
      cached = undefined;
    },
  };
}

async function fetchManifest(source: Fetcher, { target, digest }: NamedRelease): Promise<OsManifest> {
  const path = `targets/${targetName(target, digest)}`;
  const bytes = await fetchFile(source, { path, bytesMax: MANIFEST_BYTES_MAX, sha256: digest });
  if (bytes === undefined) throw missing(`the manifest of "${target}"`);
  const what = `manifest of "${target}"`;
  return check(osManifestSchema, parseJson(bytes, MANIFEST_BYTES_MAX, what), what, "image.invalid");
}

async function fetchPart(
  source: Fetcher,
  { target }: NamedRelease,
  { parts, store }: OsManifest,
  part: SlotPart,
): Promise<ChunkedPart> {
  const entry = parts.find((each) => each.part === part);
  if (entry === undefined) throw new Fault("image.invalid", `"${target}" has no part "${part}", which the warden expects`);
  const { path, bytes: bytesMax, sha256 } = entry.index;
  const bytes = await fetchFile(source, { path, bytesMax, sha256 });
  if (bytes === undefined) throw missing(`the index "${entry.index.path}" of "${target}"`);
  return { index: openPartIndex(bytes, entry), store };
}

/**
 * A transient fault: a repository that is being filled and a mirror that is behind lack files too.
 */
function missing(what: string): Fault {
  return new Fault("chunk.missing", `fetch ${what}: the repository has no such file`);
}

/**
 * @returns the next range from chunk `from` on with at most `bytesMax` bytes, but at least one
 *   chunk.
 */
export function rangeFrom(index: ChunkIndex, from: number, bytesMax: number): FetchRange {
  const rest: ChunkIndex = { ...index, count: index.count - from, at: (n) => index.at(from + n) };
  for (const { to } of windowsOf(rest, bytesMax)) return { from, to: from + Math.min(to, RANGE_CHUNKS_MAX) };
  return { from, to: index.count };
}
