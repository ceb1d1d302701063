// What stays in the hand-over directory from one step of an update to the next. [OTA-76]
import { isChunkFileName } from "../../ota/index/format/index.ts";
import { isKeptName } from "../../ota/fetch/index.ts";

/**
 * Chunks, manifest and indexes are named by their content, and prove themselves each time. A file
 * that the warden asked for by its path, such as a timestamp, would be taken for today's.
 */
export function isHeld(name: string): boolean {
  return isKeptName(name) || isChunkFileName(name);
}
