// A program of ours that systemd starts for a connection (systemd.socket(5), Accept=yes). The
// connection is its standard input and output. It has its own rights and not ours, and its error
// output goes to the journal.
import { connect, type Socket } from "node:net";
import { asFault, Fault } from "../../fault.ts";
import type { ChildProgram } from "../../ports.ts";
import { textLines } from "./lines.ts";

/** Time to reach a program that systemd starts. */
const CONNECT_MS_MAX = 10_000;
/** Time for the program to end after its input has ended. */
const END_MS_MAX = 10_000;

/**
 * Connects to the program. A connection does not tell how the program ended: an orderly close is
 * `code 0`, and the program's output says whether its job was done.
 * @param lineBytesMax bytes of one line of its output, including the newline.
 * @throws Fault `process.failed` when nothing listens.
 */
export async function connectChild(path: string, { lineBytesMax }: { readonly lineBytesMax: number }): Promise<ChildProgram> {
  const socket = await connected(path);
  let failure: string | undefined;
  socket.on("error", (error) => (failure = error.message));
  const ended = new Promise<string>((resolve) => socket.once("close", () => resolve(failure ?? "code 0")));
  const kill = async (): Promise<void> => {
    socket.resume().end(); // the program ends with its input
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
          else reject(new Fault("process.failed", `write to "${path}": ${cause.message}`, { cause }));
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
    if (error instanceof Fault) throw new Fault("process.failed", `read from "${path}": ${error.message}`, { cause: error });
    // Otherwise the connection broke because the program ended.
  }
}
