// Files of the repository, as the agent hands them over: a missing file is wanted, and the request
// is repeated. [OTA-40]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import type { HandoverReader } from "../../hal/ports.ts";
import { handoverName } from "../../ota/fetch/index.ts";
import { repositoryPathSchema } from "../../ota/install/format.ts";
import type { WantedFile } from "./format.ts";
import { PATH_CHARACTERS_MAX } from "./limits.ts";

/**
 * Reads a file by its path in the repository.
 * @returns undefined when the agent reports that there is none.
 * @throws Fault `trust.invalid` for a path that no repository has; `file.*` of the hand-over
 *   directory; what ends the request when the file is wanted first.
 */
export type Take = (path: string, bytesMax: number) => Promise<Uint8Array | undefined>;

/**
 * [OTA-40] Runs `work` on the files in the hand-over directory. It ends at the first file that is
 * neither there nor reported absent, and that file is the answer. When the work runs again, it must
 * find its way by its own durable state, not by what the agent reports.
 * @param absent paths that the repository lacks, as the agent reports.
 */
export async function throughHandover<T>(
  handover: HandoverReader,
  absent: readonly string[],
  work: (take: Take) => Promise<T>,
): Promise<T | WantedFile> {
  const missing = new Set(absent);
  const outcome: { wanted?: WantedFile } = {};
  const take: Take = async (path, bytesMax) => {
    if (!v.is(repositoryPathSchema, path))
      throw new Fault("trust.invalid", `take ${quoted(path, PATH_CHARACTERS_MAX)}: no file of a repository has such a path`);
    if (missing.has(path)) return undefined;
    const bytes = await handover.take(handoverName(path), bytesMax);
    if (bytes !== undefined) return bytes;
    outcome.wanted = { state: "wanted", path, bytesMax: Math.max(1, bytesMax), handoverName: handoverName(path) };
    throw new Fault("fetch.unreachable", `take "${path}": it is not in the hand-over directory yet`);
  };
  try {
    return await work(take);
  } catch (error) {
    if (outcome.wanted !== undefined) return outcome.wanted;
    throw error;
  }
}
