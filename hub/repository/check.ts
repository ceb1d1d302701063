// The check of a repository before the hub serves it: by the verifier that devices run, over every
// file that its timestamp leads to. [OTA-25]
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { metadataName } from "../../ota/trust/format/index.ts";
import { parseEnvelope, parseSigned, timestampSchema } from "../../ota/trust/format/metadata.ts";
import { checkContents, checkRepository, type Fetch } from "../../ota/trust/index.ts";
import { digestOf, getFile, isSame } from "./copy.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";

/**
 * [OTA-25] Refuses what a client would refuse: one that starts from the first root, and one that
 * has accepted what `served` has now.
 * @returns what devices refuse already: delegated roles that have expired. [OTA-29]
 * @throws Fault `trust.*`, `release.refused`, `release.store-failed`, `index.invalid`.
 */
export async function checkAsClient(source: string, served: string, nowMs: number): Promise<readonly string[]> {
  const root = await getFile(join(source, "metadata", metadataName("root", 1)), METADATA_BYTES_MAX);
  if (root === undefined) throw new Fault("release.not-initialised", `publish "${source}": it has no first root`);
  try {
    const published = (await timestampOf(served)) === undefined ? undefined : fetchFrom(served);
    const { listing, targets, tolerated } = await checkRepository({ root, fetch: fetchFrom(source), nowMs }, published);
    await checkContents(
      listing,
      targets.map(({ target }) => target),
      {
        read: (path, bytesMax) => getFile(join(source, path), bytesMax),
        digest: (path) => digestOf(join(source, path)),
        isKnown: (path) => isKnown(join(source, path), join(served, path)),
      },
    );
    return tolerated.map(({ message }) => message);
  } catch (error) {
    if (error instanceof Fault)
      throw new Fault(error.code, `publish "${source}": a device would refuse it: ${error.message}`, { cause: error });
    throw error;
  }
}

export async function timestampOf(directory: string): Promise<{ readonly version: number } | undefined> {
  const path = join(directory, "metadata", metadataName("timestamp", undefined));
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  if (bytes === undefined) return undefined;
  return { version: parseSigned(timestampSchema, parseEnvelope(bytes, METADATA_BYTES_MAX, path), path).signed.version };
}

export function fetchFrom(directory: string): Fetch {
  return (name, bytesMax) => getFile(join(directory, "metadata", name), bytesMax);
}

/** A chunk that is served already and has the same size. */
async function isKnown(source: string, served: string): Promise<boolean> {
  return (await digestOf(served)) !== undefined && (await isSame(source, served));
}
