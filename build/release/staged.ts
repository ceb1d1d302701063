// Drafts: targets that were added and are not signed. They can be listed, shown and removed until
// `sign` takes them. [OTA-26]
import { rm } from "node:fs/promises";
import { asFault, Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import {
  DELEGATED_ROLES,
  reachOf,
  type TargetCustom,
  targetCustomSchema,
  targetNameSchema,
} from "../../ota/trust/format/index.ts";
import { type Entries, entriesSchema } from "./drafts.ts";
import { digestOf, getFile, putFile } from "./files.ts";
import { layoutOf, stagedPath, targetPath, type WorkshopLayout } from "./layout.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import { readRepository } from "./repository.ts";

export interface Draft {
  readonly target: string;
  readonly length: number;
  readonly sha256: string;
  readonly custom: TargetCustom;
  /** Whom its audience reaches, as a text for people. */
  readonly reach: string;
  /** Its content, which becomes part of the repository when it is signed. */
  readonly file: string;
}

/**
 * The staged targets of a role, which are not signed yet.
 * @throws Fault `release.store-failed`, `trust.invalid`.
 */
export async function stagedEntries(layout: WorkshopLayout, role: string): Promise<Entries> {
  const path = stagedPath(layout, role);
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  return bytes === undefined ? {} : check(entriesSchema, parseJson(bytes, METADATA_BYTES_MAX, path), path, "trust.invalid");
}

/**
 * [OTA-26] Every draft, in the order of roles and names.
 * @throws Fault `release.not-initialised`, `release.store-failed`, `trust.invalid`.
 */
export async function listDrafts(directory: string): Promise<readonly Draft[]> {
  const layout = layoutOf(directory);
  await readRepository(layout);
  const drafts: Draft[] = [];
  for (const role of DELEGATED_ROLES)
    for (const [target, entry] of Object.entries(await stagedEntries(layout, role)).sort(([a], [b]) => (a < b ? -1 : 1))) {
      const custom = check(targetCustomSchema, entry.custom, `draft "${target}"`, "trust.invalid");
      const { sha256 } = entry.hashes;
      const reach = reachOf(custom.audience) ?? "no device";
      drafts.push({ target, length: entry.length, sha256, custom, reach, file: targetPath(layout, target, sha256) });
    }
  return drafts;
}

/**
 * [OTA-26]
 * @throws Fault `usage.invalid` when there is no such draft; `release.store-failed` when its file
 *   is missing or not what was added.
 */
export async function findDraft(directory: string, target: string): Promise<Draft> {
  check(targetNameSchema, target, `target ${quoted(target)}`, "usage.invalid");
  const draft = (await listDrafts(directory)).find((each) => each.target === target);
  if (draft === undefined)
    throw new Fault("usage.invalid", `there is no draft "${target}"; sallyport-release drafts ${directory} lists all`);
  const digest = await digestOf(draft.file);
  if (digest?.sha256 !== draft.sha256 || digest.length !== draft.length)
    throw new Fault(
      "release.store-failed",
      `${draft.file} is missing or not what was added; remove the draft, then add it again`,
    );
  return draft;
}

/**
 * [OTA-26] Removes a draft, and its file unless a target that was signed needs it.
 * @throws Fault `usage.invalid` when there is no such draft; `release.store-failed`.
 */
export async function removeDraft(directory: string, target: string): Promise<void> {
  const layout = layoutOf(directory);
  check(targetNameSchema, target, `target ${quoted(target)}`, "usage.invalid");
  const [role = ""] = target.split("/");
  const { [target]: removed, ...others } = await stagedEntries(layout, role);
  if (removed === undefined)
    throw new Fault("usage.invalid", `there is no draft "${target}"; sallyport-release drafts ${directory} lists all`);
  const { targets } = await readRepository(layout);
  await (Object.keys(others).length === 0
    ? removeStaged(stagedPath(layout, role))
    : putFile(stagedPath(layout, role), Buffer.from(JSON.stringify(others))));
  if (targets.get(role)?.targets[target]?.hashes.sha256 !== removed.hashes.sha256)
    await removeStaged(targetPath(layout, target, removed.hashes.sha256));
}

/** The role's drafts were signed. @throws Fault `release.store-failed`. */
export async function unstage(layout: WorkshopLayout, role: string): Promise<void> {
  await removeStaged(stagedPath(layout, role));
}

/** @throws Fault `release.store-failed`. */
export async function removeStaged(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (error) {
    throw asFault(error, "release.store-failed", `remove "${path}"`);
  }
}
