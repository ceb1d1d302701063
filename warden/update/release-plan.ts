// The plan of a release: its manifest and indexes, each known by its hash from signed metadata.
// [OTA-30] [OTA-41]
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { FloorRecord } from "../../ota/floor/index.ts";
import type { ImageFacts } from "../../ota/format/image.ts";
import { type ImagePart, MANIFEST_BYTES_MAX, osManifestSchema } from "../../ota/install/format.ts";
import { openPartIndex } from "../../ota/install/index.ts";
import type { Release } from "../../ota/commit/index.ts";
import { floorAfterCommit, type Target } from "../../ota/trust/index.ts";
import type { WantedFile } from "../targets/format.ts";
import type { JudgedTarget, TargetService } from "../targets/index.ts";

/** The role of systems, and the line of the image that the machine was delivered with. */
export const OS_LINE = "os";

export interface PartPlan {
  readonly part: ImagePart;
  readonly chunks: number;
}

export interface Planned {
  readonly state: "planned";
  readonly parts: readonly PartPlan[];
}

/**
 * [OTA-41] The release that a judged target stands for. Only targets of the role `os` can be
 * installed as a system.
 * @throws Fault `update.refused` for a target of another role.
 */
export function releaseOf({ target, custom, digest }: JudgedTarget, floors: FloorRecord, image: ImageFacts | undefined): Release {
  const { line, counter } = custom;
  if (target.role !== OS_LINE)
    throw new Fault(
      "update.refused",
      `take up "${target.path}": its role is "${target.role}", a system has the role "${OS_LINE}"`,
    );
  const before = replacedOf(line, floors, image);
  const floor = Object.hasOwn(floors.lines, line) ? (floors.lines[line]?.floor ?? 0) : 0;
  return { target: target.path, digest, line, counter, floorAfterCommit: floorAfterCommit(custom, before, floor) };
}

/**
 * The counter that a release of `line` replaces: that of the last commit, or before the first one
 * that of the image.
 */
export function replacedOf(line: string, { lines }: FloorRecord, image: ImageFacts | undefined): number | undefined {
  const committed = Object.hasOwn(lines, line) ? lines[line]?.committed : undefined;
  return committed ?? (line === OS_LINE ? image?.counter : undefined);
}

/**
 * [OTA-41] Reads the manifest and every index before anything is written. An index is checked and
 * released: the installer reads it again under the same hash.
 * @throws Fault `image.invalid`, `index.*`, `trust.missing`, `trust.mismatch`; `file.*` of the
 *   hand-over directory.
 */
export async function planParts(
  targets: Pick<TargetService, "payload" | "take">,
  target: Target,
  absent: readonly string[],
): Promise<WantedFile | Planned> {
  const manifest = await targets.payload(target, MANIFEST_BYTES_MAX, absent);
  if (manifest.state === "wanted") return manifest;
  const parts: PartPlan[] = [];
  for (const part of partsOf(target.path, manifest.bytes)) {
    const index = await targets.take(part.index.path, part.index.bytes, absent);
    if (index.state === "wanted") return index;
    parts.push({ part, chunks: openPartIndex(index.bytes, part).count });
  }
  return { state: "planned", parts };
}

function partsOf(name: string, bytes: Uint8Array): readonly ImagePart[] {
  const what = `manifest of "${name}"`;
  try {
    return check(osManifestSchema, parseJson(bytes, MANIFEST_BYTES_MAX, what), what, "image.invalid").parts;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw error.code === "image.invalid" ? error : new Fault("image.invalid", error.message, { cause: error });
  }
}

const FINAL = ["trust.missing", "trust.mismatch", "trust.too-large", "update.refused", "floor.below", "image.invalid"];

/** Whether every further attempt with the same release would fail in the same way. */
export function isFinal({ code }: Fault): boolean {
  return FINAL.includes(code) || code.startsWith("index.");
}
