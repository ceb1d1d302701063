// Reads a file that decides what a program trusts: its configuration, the hub's anchors.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { asFault, Fault } from "../../fault.ts";

/**
 * A file that only root, or whoever runs us, may write. Links are followed (image builders make them), pipes and devices are not read. Bounded. [STA-2]
 * @returns undefined when there is none.
 * @throws Fault `config.unreadable` for every other way in which it can't be read.
 */
export async function readConfigFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await file.stat();
    const mayWrite = (facts.uid !== 0 && facts.uid !== process.geteuid?.()) || (facts.mode & 0o022) !== 0;
    if (!facts.isFile()) throw new Fault("config.unreadable", `read "${path}": it is no regular file`);
    if (mayWrite)
      throw new Fault("config.unreadable", `read "${path}": another user may write it; chown it to root and chmod go-w`);
    if (facts.size > bytesMax)
      throw new Fault("config.unreadable", `read "${path}": it has ${facts.size} bytes, at most ${bytesMax} are read`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(facts.size), 0, facts.size, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw asFault(error, "config.unreadable", `read "${path}"`);
  }
}
