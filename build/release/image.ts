// `sallyport-release add --part`: cuts images into chunks, and adds the manifest that names their
// indexes. [OTA-30] [OTA-64] [OTA-31]
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { type SlotPart, slotPartSchema } from "../../hal/format/slots.ts";
import { MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../../ota/install/format.ts";
import { type Added, addTarget, expectReach, type TargetDescription } from "./add.ts";
import { type Chunked, chunkImage } from "./chunks.ts";
import { putCopy, digestOf } from "./files.ts";
import { layoutOf } from "./layout.ts";
import { readRepository } from "./repository.ts";

const STORE = "chunks";
const INDEXES = "indexes";

/** An image file for each part, in any order. */
export type PartFiles = ReadonlyMap<SlotPart, string>;

export interface AddedImage extends Added {
  readonly parts: readonly (Chunked & { readonly part: SlotPart })[];
}

/**
 * Adds a release.
 * @param target `os/gateway-2.json`.
 * @throws Fault `usage.invalid` for another role, no parts, or an empty part; `file.*`, `index.*`,
 *   and the faults of {@link addTarget}.
 */
export async function addImage(
  directory: string,
  target: string,
  files: PartFiles,
  description: TargetDescription,
): Promise<AddedImage> {
  if (!target.startsWith("os/"))
    throw new Fault("usage.invalid", `target ${quoted(target)}: only targets of the role os consist of parts`);
  expectReach(target, description);
  const layout = layoutOf(directory);
  await readRepository(layout); // a missing repository is reported before an hour of cutting
  const work = await mkdtemp(join(tmpdir(), "sallyport-release-"));
  try {
    const cut: { readonly made: AddedImage["parts"][number]; readonly named: OsManifest["parts"][number] }[] = [];
    for (const part of slotPartSchema.options) {
      const file = files.get(part);
      if (file !== undefined) cut.push(await cutPart(layout.published, part, file, join(work, part)));
    }
    const manifest = join(work, "manifest");
    const content = { v: 1, store: STORE, parts: cut.map(({ named }) => named) };
    await writeFile(manifest, JSON.stringify(check(osManifestSchema, content, `parts of "${target}"`, "usage.invalid")));
    return { ...(await addTarget(directory, target, manifest, description)), parts: cut.map(({ made }) => made) };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function cutPart(published: string, part: SlotPart, image: string, index: string) {
  const made = await chunkImage({ image, index, store: join(published, STORE) });
  const digest = await digestOf(index);
  if (digest === undefined) throw new Fault("release.store-failed", `cut "${image}": its index "${index}" is missing`);
  const path = `${INDEXES}/${digest.sha256}.caibx`;
  await putCopy(index, join(published, path));
  const named = { part, bytes: made.imageBytes, index: { path, bytes: digest.length, sha256: digest.sha256 } };
  return { made: { part, ...made }, named };
}

/**
 * @throws Fault `schema.invalid`, `json.invalid` for bytes that no device would accept as a
 *   release.
 */
export function parseManifest(bytes: Uint8Array): OsManifest {
  return check(osManifestSchema, parseJson(bytes, MANIFEST_BYTES_MAX, "manifest", { duplicates: "refused" }), "manifest");
}
