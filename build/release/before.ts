// The repository as it is before a round of signing. Its targets become part of the next versions,
// so whoever signs these vouches for them too: they must be what was signed before. [OTA-28]
import { Fault } from "../../hal/fault.ts";
import { delegatedAuthority, isReached, type SigningAuthority, topLevelAuthority } from "./authority.ts";
import { getFile } from "./files.ts";
import { metadataPath, type WorkshopLayout } from "./layout.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";
import type { ReleaseRepository } from "./repository.ts";
import { readEnvelope } from "./signing.ts";

/**
 * Checks the signatures on every role, from the first root on. Dates do not matter here. A role may
 * be signed by the keys before the last change of keys: `sign` was interrupted in between.
 * @param ownRoot the signer's own copy of the first root, where the directory came from others.
 * @throws Fault `trust.bad-signature`, `release.conflict`, `release.store-failed`, `usage.invalid`.
 */
export async function expectVouched(
  layout: WorkshopLayout,
  { root, snapshot, targets }: ReleaseRepository,
  ownRoot: string | undefined,
): Promise<void> {
  if (ownRoot !== undefined) await expectOwnRoot(layout, ownRoot);
  const check = async (role: string, version: number | undefined, able: readonly (SigningAuthority | undefined)[]) => {
    const envelope = await readEnvelope(metadataPath(layout, role, version));
    if (envelope !== undefined && able.some((each) => each !== undefined && isReached(envelope, [each]))) return envelope.signed;
    throw new Fault(
      "trust.bad-signature",
      `sign "${layout.directory}": ${role}${version === undefined ? "" : ` ${version}`}, which is in the repository already, is not signed by those who may sign it; restore it from a copy of the repository`,
    );
  };
  const signedIn = async (role: string, version: number) => (await readEnvelope(metadataPath(layout, role, version)))?.signed;

  const roots: unknown[] = [];
  for (let version = 1; version <= root.version; version += 1) {
    const signed = await signedIn("root", version);
    if (signed === undefined) break;
    for (const each of [signed, roots.at(-1) ?? signed]) await check("root", version, [topLevelAuthority("root", each)]);
    roots.push(signed);
  }
  const recent = roots.slice(-2);
  await check(
    "timestamp",
    undefined,
    recent.map((each) => topLevelAuthority("timestamp", each)),
  );
  await check(
    "snapshot",
    snapshot.version,
    recent.map((each) => topLevelAuthority("snapshot", each)),
  );
  const version = targets.get("targets")?.version ?? 1;
  const byRoots = recent.map((each) => topLevelAuthority("targets", each));
  const delegators = [await check("targets", version, byRoots)];
  if (version > 1 && (await signedIn("targets", version - 1)) !== undefined)
    delegators.push(
      await check(
        "targets",
        version - 1,
        roots.map((each) => topLevelAuthority("targets", each)),
      ),
    );
  for (const [role, { version: current }] of targets)
    if (role !== "targets")
      await check(
        role,
        current,
        delegators.map((each) => delegatedAuthority(role, each)),
      );
}

/**
 * @throws Fault `release.conflict` for a directory that begins with another root; `usage.invalid`.
 */
export async function expectOwnRoot(layout: WorkshopLayout, ownRoot: string): Promise<void> {
  const own = await getFile(ownRoot, METADATA_BYTES_MAX);
  if (own === undefined) throw new Fault("usage.invalid", `--root "${ownRoot}": there is no such file`);
  const first = await getFile(metadataPath(layout, "root", 1), METADATA_BYTES_MAX);
  if (first === undefined || !Buffer.from(first).equals(own))
    throw new Fault(
      "release.conflict",
      `sign "${layout.directory}": its first root is not that of "${ownRoot}", so it is another repository`,
    );
}
