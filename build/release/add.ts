// `sallyport-release add`: stages a file and its description beside the repository until it is
// signed. [OTA-11] [OTA-12]
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { check } from "../../hal/format/schema.ts";
import {
  audienceSchema,
  reachOf,
  type TargetCustom,
  targetCustomSchema,
  targetNameSchema,
} from "../../ota/trust/format/index.ts";
import type { Entries } from "./drafts.ts";
import { putCopy, digestOf, putFile } from "./files.ts";
import { layoutOf, stagedPath, targetPath } from "./layout.ts";
import { readRepository } from "./repository.ts";
import { stagedEntries } from "./staged.ts";

/** The content of {@link TargetCustom}. Without a counter, the next one of the line is used. */
export interface TargetDescription {
  readonly line: string;
  readonly counter?: number;
  readonly floorAfterCommit?: number;
  readonly hardware: { readonly any: true } | { readonly ids: readonly string[] };
  readonly audience?: {
    readonly everyone?: true;
    readonly tenant?: string;
    readonly devices?: readonly string[];
    readonly groups?: readonly string[];
  };
}

export interface Added {
  readonly target: string;
  readonly file: string;
  readonly length: number;
  readonly sha256: string;
  readonly custom: TargetCustom;
  /** Whom its audience reaches, as a text for people. */
  readonly reach: string;
}

/**
 * Stages one target.
 * @param target `os/gateway-2.1.json`: a role and a name.
 * @throws Fault `usage.invalid` for a name, an audience or a line that no device would accept;
 *   `release.not-initialised`, `release.store-failed`.
 */
export async function addTarget(directory: string, target: string, file: string, description: TargetDescription): Promise<Added> {
  const layout = layoutOf(directory);
  check(targetNameSchema, target, `target ${quoted(target)}`, "usage.invalid");
  const role = target.split("/")[0] ?? "";
  if (description.line.split("/")[0] !== role)
    throw new Fault(
      "usage.invalid",
      `target "${target}" has the role "${role}", so its line must be "${role}" or "${role}/NAME", got ${quoted(description.line)}`,
    );
  const reach = expectReach(target, description);
  const { targets } = await readRepository(layout);
  const staged = await stagedEntries(layout, role);
  const counter = description.counter ?? nextCounter({ ...targets.get(role)?.targets, ...staged }, description.line);
  const custom = check(targetCustomSchema, { v: 1, ...description, counter }, `target "${target}"`, "usage.invalid");

  const digest = await digestOf(file);
  if (digest === undefined) throw new Fault("usage.invalid", `add "${target}": there is no file "${file}"`);
  const placed = targetPath(layout, target, digest.sha256);
  await putCopy(file, placed);
  const copied = await digestOf(placed);
  if (copied?.sha256 !== digest.sha256)
    throw new Fault("release.store-failed", `add "${target}": "${file}" changed while it was copied; add it again`);
  const entry = { length: digest.length, hashes: { sha256: digest.sha256 }, custom };
  await putFile(stagedPath(layout, role), Buffer.from(JSON.stringify({ ...staged, [target]: entry })));
  return { target, file: placed, ...digest, custom, reach };
}

/**
 * [OTA-25] @returns whom the audience reaches, as a text for people.
 * @throws Fault `usage.invalid` when it reaches nobody. [OTA-11]
 */
export function expectReach(target: string, { audience }: Pick<TargetDescription, "audience">): string {
  const reach = reachOf(
    audience === undefined ? undefined : check(audienceSchema, audience, `audience of "${target}"`, "usage.invalid"),
  );
  if (reach !== undefined) return reach;
  const why =
    audience?.tenant === undefined
      ? "no --audience was given"
      : `the tenant ${quoted(audience.tenant)} only narrows the audience`;
  throw new Fault(
    "usage.invalid",
    `target "${target}" would be for no device: ${why}; name devices (device=ID), groups of a tenant (group=G) or everyone`,
  );
}

/** One more than the highest counter of the line, because it must grow for each device. */
function nextCounter(entries: Entries, line: string): number {
  const counters = Object.values(entries).map(({ custom }) => (custom?.line === line ? (custom.counter ?? 0) : 0));
  return Math.max(0, ...counters) + 1;
}
