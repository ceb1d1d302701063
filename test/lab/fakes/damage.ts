// The seven ways in which a state file may be damaged, and what may lie in a directory's place.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
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

/**
 * Each puts something into the place of the directory `path`, which may exist. What was there is
 * kept beside it or becomes part of it, so that a program that follows a link finds a directory.
 */
export const WRONG_DIRECTORIES: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "a file": async (path) => await writeFile(await emptied(path), "not a directory"),
  "an empty file": async (path) => await writeFile(await emptied(path), ""),
  "a link to a directory": async (path) => await symlink(await moved(path), path),
  "a link to nothing": async (path) => await symlink("nowhere", await emptied(path)),
  "a pipe": async (path) => void execFileSync("mkfifo", [await emptied(path)]),
  "a socket": async (path) => {
    const place = await emptied(path);
    const server = createServer().listen(`${place}.s`);
    await once(server, "listening");
    await rename(`${place}.s`, place); // closing removes the name that it was bound to
    await new Promise((resolve) => server.close(resolve));
  },
  "another user's": async (path) => {
    if (process.geteuid?.() === 0) await chown(path, STRANGER_UID, STRANGER_UID);
    else await chmod(path, 0o777);
  },
  "one that others may write": async (path) => await chmod(path, 0o777),
  "one that its owner may not use": async (path) => await chmod(path, 0o000),
};

async function moved(path: string): Promise<string> {
  const elsewhere = `${path}.elsewhere`;
  await rename(path, elsewhere);
  return elsewhere;
}

async function emptied(path: string): Promise<string> {
  await moved(path);
  return path;
}
