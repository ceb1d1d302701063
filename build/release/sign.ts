// `sallyport-release sign`: makes staged targets part of the repository. Each file is written
// before another one refers to it, and the timestamp last: an interruption leaves the old
// repository or the new one. [OTA-14]
import { rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { asFault, Fault } from "../../hal/fault.ts";
import { DELEGATED_ROLES, momentText, TOP_LEVEL_ROLES } from "../../ota/trust/format/index.ts";
import { stagedEntries } from "./add.ts";
import { type Entries, signed } from "./drafts.ts";
import { putFile } from "./files.ts";
import { expiryFrom } from "./init.ts";
import { readSigner } from "./keys.ts";
import { type WorkshopLayout, layoutOf, metadataPath, stagedPath } from "./layout.ts";
import { OFFLINE_EXPIRY_DAYS, ONLINE_EXPIRY_DAYS, ROOT_EXPIRY_DAYS } from "./limits.ts";
import { readRepository, type ReleaseRepository } from "./repository.ts";

export interface Signed {
  readonly role: string;
  readonly version: number;
  readonly expires: string;
}

type Write = (
  role: string,
  draft: { readonly version: number; readonly expires: string; readonly [member: string]: unknown },
) => Promise<void>;

/**
 * Signs the roles with staged targets, and those of `renew`, whose expiry is renewed; then snapshot
 * and timestamp where these changed.
 * @returns what was signed, in that order; empty when nothing has changed.
 * @throws Fault `usage.invalid`, `release.*`, `trust.invalid`.
 */
export async function signChanges(directory: string, renew: readonly string[], nowMs: number): Promise<readonly Signed[]> {
  const layout = layoutOf(directory);
  const known: readonly string[] = [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES];
  const unknown = renew.find((role) => !known.includes(role));
  if (unknown !== undefined) throw new Fault("usage.invalid", `there is no role "${unknown}"; the roles are ${known.join(", ")}`);

  const repository = await readRepository(layout);
  const signedRoles: Signed[] = [];
  const write: Write = async (role, draft) => {
    const bytes = signed(draft, [await readSigner(layout, role)]);
    await putFile(metadataPath(layout, role, role === "timestamp" ? undefined : draft.version), bytes);
    signedRoles.push({ role, version: draft.version, expires: draft.expires });
  };
  const offline = (days: number) => ({ signedAt: momentText(nowMs), expires: expiryFrom(nowMs, days) });

  if (renew.includes("root"))
    await write("root", { ...repository.root, version: repository.root.version + 1, ...offline(ROOT_EXPIRY_DAYS) });
  const changed = await changedTargets(layout, repository, renew);
  for (const { role, targets } of changed) {
    const before = repository.targets.get(role);
    if (before !== undefined)
      await write(role, { ...before, version: before.version + 1, ...offline(OFFLINE_EXPIRY_DAYS), targets });
  }
  await writeOnline(repository, signedRoles, renew, expiryFrom(nowMs, ONLINE_EXPIRY_DAYS), write);
  for (const { role } of changed) await unstage(layout, role);
  return signedRoles;
}

/**
 * Roles with new targets, and those to renew. A staged target that is signed already is not new:
 * the last `sign` was interrupted at its very end.
 */
async function changedTargets(
  layout: WorkshopLayout,
  { targets }: ReleaseRepository,
  renew: readonly string[],
): Promise<readonly { readonly role: string; readonly targets: Entries }[]> {
  const changed: { role: string; targets: Entries }[] = [];
  for (const [role, before] of targets) {
    const entries = { ...before.targets, ...(await stagedEntries(layout, role)) };
    if (renew.includes(role) || !isDeepStrictEqual(entries, before.targets)) changed.push({ role, targets: entries });
    else await unstage(layout, role);
  }
  return changed;
}

async function writeOnline(
  { snapshot, timestamp }: ReleaseRepository,
  signedRoles: readonly Signed[],
  renew: readonly string[],
  expires: string,
  write: Write,
): Promise<void> {
  const below = signedRoles.filter(({ role }) => role !== "root");
  const newSnapshot = below.length > 0 || renew.includes("snapshot");
  const meta = { ...snapshot.meta, ...Object.fromEntries(below.map(({ role, version }) => [`${role}.json`, { version }])) };
  const version = snapshot.version + (newSnapshot ? 1 : 0);
  if (newSnapshot) await write("snapshot", { ...snapshot, version, expires, meta });
  if (newSnapshot || renew.includes("timestamp"))
    await write("timestamp", { ...timestamp, version: timestamp.version + 1, expires, meta: { "snapshot.json": { version } } });
}

async function unstage(layout: WorkshopLayout, role: string): Promise<void> {
  try {
    await rm(stagedPath(layout, role), { force: true });
  } catch (error) {
    throw asFault(error, "release.store-failed", `remove "${stagedPath(layout, role)}"`);
  }
}
