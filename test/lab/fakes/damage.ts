// The seven ways in which a state file may be damaged.
import { chmod, chown, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";

/** No user of these tests has it. */
const STRANGER_UID = 54_321;
const OVERSIZED_BYTES = 40_000_000;

export const MUTATIONS: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "a flipped bit": async (path) => {
    const bytes = await readFile(path);
    if (bytes.byteLength === 0) return;
    const middle = Math.floor(bytes.byteLength / 2);
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    await writeFile(path, bytes);
  },
  truncated: async (path) => await truncate(path, Math.floor((await readFile(path)).byteLength / 2)),
  empty: async (path) => await truncate(path, 0),
  oversized: async (path) => await truncate(path, OVERSIZED_BYTES),
  "another user's": async (path) => {
    // without root, what everybody may write: it is refused for the same reason
    if (process.geteuid?.() === 0) await chown(path, STRANGER_UID, STRANGER_UID);
    else await chmod(path, 0o666);
  },
  "a link": async (path) => {
    await rename(path, `${path}.elsewhere`);
    await symlink(`${path}.elsewhere`, path);
  },
  "a directory": async (path) => {
    await rm(path);
    await mkdir(path);
    await writeFile(`${path}/stranger`, "not empty");
  },
};
