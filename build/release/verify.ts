// The check of a repository with the device's own verifier, before anything is written or
// published. [OTA-25]
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { checkRepository, type CheckedRepository, type ContentPorts, type Fetch } from "../../ota/trust/index.ts";
import { digestOf, getFile } from "./files.ts";
import { metadataPath, type WorkshopLayout } from "./layout.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";

/**
 * @param fresh metadata that is not on the disk yet, by its file name.
 */
export function fetchFrom(
  { metadata }: Pick<WorkshopLayout, "metadata">,
  fresh: ReadonlyMap<string, Uint8Array> = new Map(),
): Fetch {
  return async (name, bytesMax) => fresh.get(name) ?? (await getFile(join(metadata, name), bytesMax));
}

export function contentsIn({ published }: Pick<WorkshopLayout, "published">): ContentPorts {
  return {
    read: (path, bytesMax) => getFile(join(published, path), bytesMax),
    digest: (path) => digestOf(join(published, path)),
  };
}

/**
 * [OTA-25] @param published what clients have accepted already; undefined when it is nothing.
 * @throws Fault of the check, with `action` before its message.
 */
export async function checkAsClient(
  action: string,
  layout: WorkshopLayout,
  { fetch, published, nowMs }: { readonly fetch: Fetch; readonly published: Fetch | undefined; readonly nowMs: number },
): Promise<CheckedRepository> {
  const root = await getFile(metadataPath(layout, "root", 1), METADATA_BYTES_MAX);
  if (root === undefined)
    throw new Fault(
      "release.not-initialised",
      `there is no repository in ${layout.metadata}; make one with sallyport-release init DIR`,
    );
  try {
    return await checkRepository({ root, fetch, nowMs }, published);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const hint = error.code === "trust.expired" ? "; sallyport-release sign --renew renews what has expired" : "";
    throw new Fault(error.code, `${action}: a device would refuse it: ${error.message}${hint}`, { cause: error });
  }
}
