// A courier's directory that may not be there yet: the other program makes it when it first has something to leave. [OTA-32]
import { errnoOf } from "../files/index.ts";
import type { HandoverReader } from "../../ports.ts";
import { linuxHandoverReader } from "./reader.ts";

/** Opens the directory for each file, so that it may come, go and be made anew; while it is not there, nothing is. */
export function optionalHandoverReader(directory: string): HandoverReader {
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
