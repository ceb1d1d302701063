// A program of ours that systemd starts for a connection (systemd.socket(5), Accept=yes): its standard input and output are the other end. It has rights of its own,
// not ours; its complaints go to the journal.
import { connect, type Socket } from "node:net";
import { asFault, Fault } from "../../fault.ts";
import type { ChildProgram } from "../../ports.ts";
import { textLines } from "./lines.ts";

/** Time to reach a program that systemd starts. */
const CONNECT_MS_MAX = 10_000;
/** Time for the program to end after its input has ended. */
const END_MS_MAX = 10_000;

/**
 * How it ended is not told over a connection: closed in order is `code 0`, and whether its job was done is in what it said.
 * @param lineBytesMax of a line it says, with the newline.
 * @throws Fault `process.failed` when nobody listens.
 */
export async function connectChild(path: string, { lineBytesMax }: { readonly lineBytesMax: number }): Promise<ChildProgram> {
  const socket = await connected(path);
  let failure: string | undefined;
  socket.on("error", (error) => (failure = error.message));
  const ended = new Promise<string>((resolve) => socket.once("close", () => resolve(failure ?? "code 0")));
  const kill = async (): Promise<void> => {
    socket.resume().end(); // with the end of its input it ends itself
    const timer = setTimeout(() => socket.destroy(), END_MS_MAX);
    await ended;
    clearTimeout(timer);
  };
  return {
    lines: linesOf(socket, path, lineBytesMax, kill),
    ended,
    kill,
    tell: (line) =>
      new Promise((resolve, reject) => {
        socket.write(`${line}\n`, (cause) => {
          if (cause === null || cause === undefined) resolve();
          else reject(new Fault("process.failed", `tell what listens at "${path}": ${cause.message}`, { cause }));
        });
      }),
  };
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: false });
    const failed = (cause: unknown): void => {
      socket.destroy();
      reject(asFault(cause, "process.failed", `connect to "${path}"`));
    };
    const timer = setTimeout(() => failed(new Fault("process.failed", `connect to "${path}": no answer`)), CONNECT_MS_MAX);
    socket.once("error", failed);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      resolve(socket);
    });
    socket.once("close", () => clearTimeout(timer));
  });
}

async function* linesOf(socket: Socket, path: string, lineBytesMax: number, kill: () => Promise<void>): AsyncGenerator<string> {
  try {
    yield* textLines(socket.iterator({ destroyOnReturn: false }), lineBytesMax);
  } catch (error) {
    await kill();
    if (error instanceof Fault) throw new Fault("process.failed", `listen at "${path}": ${error.message}`, { cause: error });
    // else the connection broke, with the program
  }
}
