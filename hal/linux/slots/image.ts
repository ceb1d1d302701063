// A part of a slot that is a file.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { SlotWriter } from "../../ports.ts";
import { checkTrustedFile } from "../files/index.ts";
import { openSlotWriter, withSlotFault } from "./writer.ts";

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * Truncates the file to the size it will have, so that nothing of a larger earlier image stays
 * behind the end.
 * @throws Fault `file.not-regular`, `file.untrusted-owner`, `slot.write-failed`,
 *   `slot.read-failed`.
 */
export async function openImage(path: string, bytes: number, closed: () => void): Promise<SlotWriter> {
  return withSlotFault(path, async () => {
    const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      checkTrustedFile(await file.stat(), path);
      await file.truncate(bytes);
      return await openSlotWriter(path, file, bytes, closed);
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}
