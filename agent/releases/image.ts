// What the release being written consists of: its manifest and the index of the part at hand, fetched once and known by their hashes. [OTA-30]
import { createHash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { SlotPart } from "../../hal/format/slots.ts";
import { type FetchRange, windowsOf } from "../../ota/fetch/index.ts";
import type { ChunkIndex } from "../../ota/index/format/index.ts";
import { openPartIndex } from "../../ota/install/index.ts";
import { MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../../ota/install/format.ts";
import { targetName } from "../../ota/trust/format/index.ts";
import { STRETCH_CHUNKS_MAX } from "./limits.ts";
import type { StepContext } from "./ports.ts";

/** As the warden says which one it has taken up. */
export interface NamedRelease {
  readonly target: string;
  /** SHA-256 of its payload. */
  readonly digest: string;
}

export interface Part {
  readonly index: ChunkIndex;
  /** Directory of chunks in the repository. */
  readonly store: string;
}

export interface ImageMemory {
  /** @throws Fault `image.invalid` for a part or a manifest that is not the release's, `index.*`, `fetch.*`, `tls.*`, `update.aborted`. */
  part(bench: Pick<StepContext, "repository" | "signal">, release: NamedRelease, part: SlotPart): Promise<Part>;
  forget(): void;
}

/** Holds one manifest and one index, of the update that is under way. */
export function createImageMemory(): ImageMemory {
  let manifest: { readonly digest: string; readonly value: OsManifest } | undefined;
  let held: (Part & { readonly digest: string; readonly part: SlotPart }) | undefined;
  return {
    part: async (bench, release, part) => {
      const { digest } = release;
      if (held?.digest === digest && held.part === part) return held;
      held = undefined;
      if (manifest?.digest !== digest) manifest = { digest, value: await fetchManifest(bench, release) };
      held = { digest, part, ...(await fetchPart(bench, release, manifest.value, part)) };
      return held;
    },
    forget: () => {
      manifest = undefined;
      held = undefined;
    },
  };
}

async function fetchManifest(
  { repository, signal }: Pick<StepContext, "repository" | "signal">,
  release: NamedRelease,
): Promise<OsManifest> {
  const { target, digest } = release;
  const bytes = await repository.get(`targets/${targetName(target, digest)}`, MANIFEST_BYTES_MAX, signal);
  if (bytes === undefined) throw missing(`the manifest of "${target}"`);
  if (createHash("sha256").update(bytes).digest("hex") !== digest)
    throw new Fault("image.invalid", `read the manifest of "${target}": it is not the one that was signed`);
  const what = `manifest of "${target}"`;
  return check(osManifestSchema, parseJson(bytes, MANIFEST_BYTES_MAX, what), what, "image.invalid");
}

async function fetchPart(
  { repository, signal }: Pick<StepContext, "repository" | "signal">,
  { target }: NamedRelease,
  { parts, store }: OsManifest,
  part: SlotPart,
): Promise<Part> {
  const named = parts.find((each) => each.part === part);
  if (named === undefined) throw new Fault("image.invalid", `"${target}" has no part "${part}", which the warden expects`);
  const bytes = await repository.get(named.index.path, named.index.bytes, signal);
  if (bytes === undefined) throw missing(`the index "${named.index.path}" of "${target}"`);
  return { index: openPartIndex(bytes, named), store };
}

/** A repository that is being filled or a mirror that is behind looks like this. */
function missing(what: string): Fault {
  return new Fault("fetch.refused", `fetch ${what}: the repository has no such file`);
}

/** The next stretch from chunk `from` on that fits into the courier's directory; at least one chunk. */
export function rangeFrom(index: ChunkIndex, from: number): FetchRange {
  const rest: ChunkIndex = { ...index, count: index.count - from, at: (n) => index.at(from + n) };
  for (const { to } of windowsOf(rest)) return { from, to: from + Math.min(to, STRETCH_CHUNKS_MAX) };
  return { from, to: index.count };
}
