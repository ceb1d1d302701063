// Reading the files that decide what a program trusts: its configuration and the hub's anchors.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { asFault, Fault } from "../../fault.ts";

/**
 * [STA-2] Reads a file that only root, or the user of this process, may write. Links are followed,
 * because image builders make them. Pipes and devices are not read.
 * @returns undefined when there is no such file.
 * @throws Fault `config.unreadable` for every other reason why it cannot be read.
 */
export async function readConfigFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await file.stat();
    const mayWrite = (facts.uid !== 0 && facts.uid !== process.geteuid?.()) || (facts.mode & 0o022) !== 0;
    if (!facts.isFile()) throw new Fault("config.unreadable", `read "${path}": it is not a regular file`);
    if (mayWrite)
      throw new Fault("config.unreadable", `read "${path}": another user may write it; run chown root and chmod go-w on it`);
    if (facts.size > bytesMax)
      throw new Fault("config.unreadable", `read "${path}": it has ${facts.size} bytes, more than the limit of ${bytesMax}`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(facts.size), 0, facts.size, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw asFault(error, "config.unreadable", `read "${path}"`);
  }
}
