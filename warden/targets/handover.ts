// Files of the repository through the agent: what is not there yet is asked for, and the request made again. [OTA-40]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { HandoverReader } from "../../hal/ports.ts";
import { handoverName } from "../../ota/fetch/index.ts";
import { repositoryPathSchema } from "../../ota/install/format.ts";
import type { WantedFile } from "./format.ts";

/**
 * A file by its path in the repository.
 * @returns undefined when the agent says that there is none.
 * @throws Fault `trust.invalid` for a path that can't be asked for; `file.*` of the courier; what ends the request when the file has to be wanted first.
 */
export type Take = (path: string, bytesMax: number) => Promise<Uint8Array | undefined>;

/**
 * [OTA-40] Runs `work` on what lies with the courier. At the first file that is neither there nor called absent it ends, and that file is the answer: work that is
 * run again must find its way by what it kept durably, not by what the agent says.
 * @param absent paths of which the agent says that the repository has them not.
 */
export async function throughHandover<T>(
  handover: HandoverReader,
  absent: readonly string[],
  work: (take: Take) => Promise<T>,
): Promise<T | WantedFile> {
  const missing = new Set(absent);
  const asked: { wanted?: WantedFile } = {};
  const take: Take = async (path, bytesMax) => {
    if (!v.safeParse(repositoryPathSchema, path).success)
      throw new Fault("trust.invalid", `take "${path.slice(0, 160)}": no file of a repository can be asked for by that path`);
    if (missing.has(path)) return undefined;
    const bytes = await handover.take(handoverName(path), bytesMax);
    if (bytes !== undefined) return bytes;
    asked.wanted = { state: "wanted", path, bytesMax: Math.max(1, bytesMax), handoverName: handoverName(path) };
    throw new Fault("fetch.unreachable", `take "${path}": it is not in the hand-over directory yet`);
  };
  try {
    return await work(take);
  } catch (error) {
    if (asked.wanted !== undefined) return asked.wanted;
    throw error;
  }
}
