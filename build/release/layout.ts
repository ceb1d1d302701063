// The layout of a release directory: keys, staged targets and repository.
import { join } from "node:path";
import { metadataName, targetName } from "../../ota/trust/format/index.ts";

export interface WorkshopLayout {
  readonly directory: string;
  /** Private keys, PKCS#8, 0600: `root.pem`, `os.pem`, ... */
  readonly keys: string;
  /** Staged targets, which are not signed yet: one file per role. */
  readonly staged: string;
  /** The repository: metadata, targets, and the indexes and chunks that targets name. */
  readonly published: string;
  readonly metadata: string;
  readonly targets: string;
}

export function layoutOf(directory: string): WorkshopLayout {
  return {
    directory,
    keys: join(directory, "keys"),
    staged: join(directory, "staged"),
    ...publishedAt(join(directory, "repository")),
  };
}

/** The layout of a published repository in `to`. */
export function publishedAt(to: string): Pick<WorkshopLayout, "published" | "metadata" | "targets"> {
  return { published: to, metadata: join(to, "metadata"), targets: join(to, "targets") };
}

export function metadataPath({ metadata }: Pick<WorkshopLayout, "metadata">, role: string, version: number | undefined): string {
  return join(metadata, metadataName(role, version));
}

export function targetPath({ targets }: Pick<WorkshopLayout, "targets">, path: string, sha256: string): string {
  return join(targets, targetName(path, sha256));
}

export function keyPath({ keys }: WorkshopLayout, role: string): string {
  return join(keys, `${role}.pem`);
}

export function stagedPath({ staged }: WorkshopLayout, role: string): string {
  return join(staged, `${role}.json`);
}

/** Other keys and thresholds for roles, which are not signed yet. */
export function keyChangesPath({ staged }: WorkshopLayout): string {
  return join(staged, "keys.json");
}

/** A role's next version, to which signatures are still missing. */
export function signingPath({ staged }: WorkshopLayout, role: string): string {
  return join(staged, "signing", `${role}.json`);
}
