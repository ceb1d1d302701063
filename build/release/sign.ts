// `sallyport-release sign`: makes staged targets part of the repository. Each file is written
// before another one refers to it, and the timestamp last: an interruption leaves the old
// repository or the new one. [OTA-14]
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { DELEGATED_ROLES, momentText, TOP_LEVEL_ROLES } from "../../ota/trust/format/index.ts";
import { checkContents } from "../../ota/trust/index.ts";
import { type Entries, signed } from "./drafts.ts";
import { putFile } from "./files.ts";
import { expiryFrom } from "./init.ts";
import { readSigner } from "./keys.ts";
import { type WorkshopLayout, layoutOf, metadataPath } from "./layout.ts";
import { OFFLINE_EXPIRY_DAYS, ONLINE_EXPIRY_DAYS, ROOT_EXPIRY_DAYS } from "./limits.ts";
import { readRepository, type ReleaseRepository } from "./repository.ts";
import { stagedEntries, unstage } from "./staged.ts";
import { checkAsClient, contentsIn, fetchFrom } from "./verify.ts";

export interface Signed {
  readonly role: string;
  readonly version: number;
  readonly expires: string;
  /** The drafts that became part of it. */
  readonly targets: readonly SignedTarget[];
}

export interface SignedTarget {
  readonly target: string;
  readonly line: string;
  readonly counter: number;
  /** Whom its audience reaches, as a text for people. */
  readonly reach: string;
}

type Write = (
  role: string,
  draft: { readonly version: number; readonly expires: string; readonly [member: string]: unknown },
) => Promise<void>;

/**
 * Signs the roles with drafts, or only those of `roles`, whose expiry is renewed; then snapshot and
 * timestamp where these changed. [OTA-26]
 * @returns what was signed, in that order; empty when nothing has changed.
 * @throws Fault `usage.invalid`, `release.*`, `trust.*`. A device would refuse the result, and
 *   nothing was written. [OTA-25]
 */
export async function signChanges(directory: string, roles: readonly string[], nowMs: number): Promise<readonly Signed[]> {
  const layout = layoutOf(directory);
  const known: readonly string[] = [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES];
  const unknown = roles.find((role) => !known.includes(role));
  if (unknown !== undefined)
    throw new Fault("usage.invalid", `there is no role ${quoted(unknown)}; the roles are ${known.join(", ")}`);

  const repository = await readRepository(layout);
  const files: { readonly path: string; readonly name: string; readonly bytes: Uint8Array }[] = [];
  const signedRoles: Omit<Signed, "targets">[] = [];
  const write: Write = async (role, draft) => {
    const bytes = signed(draft, [await readSigner(layout, role)]);
    const path = metadataPath(layout, role, role === "timestamp" ? undefined : draft.version);
    files.push({ path, name: basename(path), bytes });
    signedRoles.push({ role, version: draft.version, expires: draft.expires });
  };
  const offline = (days: number) => ({ signedAt: momentText(nowMs), expires: expiryFrom(nowMs, days) });

  if (roles.includes("root"))
    await write("root", { ...repository.root, version: repository.root.version + 1, ...offline(ROOT_EXPIRY_DAYS) });
  const changed = await changedTargets(layout, repository, roles);
  for (const { role, targets } of changed) {
    const before = repository.targets.get(role);
    if (before !== undefined)
      await write(role, { ...before, version: before.version + 1, ...offline(OFFLINE_EXPIRY_DAYS), targets });
  }
  await writeOnline(repository, signedRoles, roles, expiryFrom(nowMs, ONLINE_EXPIRY_DAYS), write);
  if (files.length === 0) return [];
  const fresh = await checkSigned(
    layout,
    files,
    changed.flatMap(({ drafts }) => drafts),
    nowMs,
  );
  for (const { path, bytes } of files) await putFile(path, bytes);
  for (const { role } of changed) await unstage(layout, role);
  return signedRoles.map((each) => ({ ...each, targets: fresh.filter(({ target }) => target.startsWith(`${each.role}/`)) }));
}

/**
 * [OTA-25] Checks the repository as it will be, with the client's verifier, and the files of its
 * new targets.
 */
async function checkSigned(
  layout: WorkshopLayout,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  drafts: readonly string[],
  nowMs: number,
): Promise<readonly SignedTarget[]> {
  const fetch = fetchFrom(layout, new Map(files.map(({ name, bytes }) => [name, bytes])));
  const { listing, targets } = await checkAsClient(`sign "${layout.directory}"`, layout, {
    fetch,
    published: fetchFrom(layout),
    nowMs,
  });
  const fresh = targets.filter(({ target }) => drafts.includes(target.path));
  await checkContents(
    listing,
    fresh.map(({ target }) => target),
    contentsIn(layout),
  );
  return fresh.map(({ target, custom, reach }) => ({ target: target.path, line: custom.line, counter: custom.counter, reach }));
}

/**
 * Roles with drafts, or those of `roles`. A draft that is signed already is not new: the last
 * `sign` was interrupted at its very end. [OTA-26]
 */
async function changedTargets(
  layout: WorkshopLayout,
  { targets }: ReleaseRepository,
  roles: readonly string[],
): Promise<readonly { readonly role: string; readonly targets: Entries; readonly drafts: readonly string[] }[]> {
  const changed: { role: string; targets: Entries; drafts: readonly string[] }[] = [];
  for (const [role, before] of targets) {
    if (roles.length > 0 && !roles.includes(role)) continue;
    const staged = await stagedEntries(layout, role);
    const entries = { ...before.targets, ...staged };
    if (roles.includes(role) || !isDeepStrictEqual(entries, before.targets))
      changed.push({ role, targets: entries, drafts: Object.keys(staged) });
    else await unstage(layout, role);
  }
  return changed;
}

async function writeOnline(
  { snapshot, timestamp }: ReleaseRepository,
  signedRoles: readonly Omit<Signed, "targets">[],
  roles: readonly string[],
  expires: string,
  write: Write,
): Promise<void> {
  const below = signedRoles.filter(({ role }) => role !== "root");
  const newSnapshot = below.length > 0 || roles.includes("snapshot");
  const meta = { ...snapshot.meta, ...Object.fromEntries(below.map(({ role, version }) => [`${role}.json`, { version }])) };
  const version = snapshot.version + (newSnapshot ? 1 : 0);
  if (newSnapshot) await write("snapshot", { ...snapshot, version, expires, meta });
  if (newSnapshot || roles.includes("timestamp"))
    await write("timestamp", { ...timestamp, version: timestamp.version + 1, expires, meta: { "snapshot.json": { version } } });
}
