// A reader for a hand-over directory that may not exist yet: the other program makes it when it
// first has a file to leave. [OTA-32]
import { errnoOf } from "../files/index.ts";
import type { HandoverReader } from "../../ports.ts";
import { linuxHandoverReader } from "./reader.ts";

/**
 * Opens the directory anew for each file, so that it may appear, disappear and be made again. While
 * it does not exist, there are no files.
 */
export function createOptionalHandoverReader(directory: string): HandoverReader {
  return {
    take: async (name, bytesMax) => {
      try {
        await using handover = await linuxHandoverReader(directory);
        return await handover.take(name, bytesMax);
      } catch (error) {
        if (error instanceof Error && errnoOf(error.cause) === "ENOENT") return undefined;
        throw error;
      }
    },
  };
}
