// Binding a Unix socket. The file system decides who may open it, because Node does not expose peer
// credentials. [OPS-1] [OPS-3]
import { lstat, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { asFault, Fault } from "../fault.ts";

/** sun_path of Linux without its final NUL, unix(7). */
const PATH_BYTES_MAX = 107;

/**
 * Call this only with the state lock held: an existing socket then belongs to a dead process and is
 * removed.
 * @param path at most 107 bytes, unix(7). Its directory must exist with the right owner and group.
 * @param mode permission bits of the socket. A user who may write to it may connect.
 * @throws Fault `socket.listen-failed` when the path is taken by anything but a socket, or cannot
 *   be bound.
 */
export async function listenUnix(server: Server, path: string, mode: number): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX)
    throw new Fault("socket.listen-failed", `listen on "${path}": the path of a socket has at most ${PATH_BYTES_MAX} bytes`);
  await removeStale(path);
  await bind(server, path, mode);
}

async function removeStale(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket())
      throw new Fault(
        "socket.listen-failed",
        `listen on "${path}": the path is taken by something other than a socket; look what it is, or choose another path`,
      );
    await unlink(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw asFault(error, "socket.listen-failed", `remove the old socket "${path}"`);
  }
}

/**
 * Binds under a umask of ours, so that there is no moment at which others could connect. Node binds
 * before `listen` returns.
 */
async function bind(server: Server, path: string, mode: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const before = process.umask(0o777 & ~mode);
    try {
      server.once("error", (error) =>
        reject(asFault(error, "socket.listen-failed", `listen on "${path}"; its directory must exist`)),
      );
      server.listen(path, () => resolve());
    } finally {
      process.umask(before);
    }
  });
}
