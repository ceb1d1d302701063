// The warden's real socket with a test's handlers, and both kinds of peer: our client, and a
// hostile one that writes any bytes.
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { Fault } from "../../../hal/fault.ts";
import { linuxClock, listenUnix } from "../../../hal/linux/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { type WardenClient, createWardenClient } from "../../../warden/client/index.ts";
import {
  createRequestBudget,
  type RequestBudgetLimits,
  type VerbHandlers,
  createProtocolSession,
  createRefusalRecorder,
} from "../../../warden/protocol/index.ts";
import { serveSocket, type SocketServer } from "../../../warden/socket/index.ts";
import { VERBS } from "./verbs.ts";

export interface ServedSocket {
  readonly path: string;
  readonly recorded: readonly AuditEntry[];
  readonly reported: readonly Fault[];
  readonly server: SocketServer;
  /** Serves the same path again, as after a restart. */
  serveAgain(): Promise<SocketServer>;
  /** Closes everything and removes the folder. */
  remove(): Promise<void>;
}

/** A budget that no test uses up. */
const AMPLE: RequestBudgetLimits = { bytesPerSecond: 1e9, burstBytes: 1e9 };

export async function serveVerbs(over: Partial<VerbHandlers> = {}, limits: RequestBudgetLimits = AMPLE): Promise<ServedSocket> {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-socket-"));
  const path = join(directory, "warden.sock");
  const clock = linuxClock();
  const recorded: AuditEntry[] = [];
  const reported: Fault[] = [];
  const report = (fault: Fault): void => void reported.push(fault);
  const append = async (entry: AuditEntry): Promise<number> => recorded.push(entry);
  const recording = createRefusalRecorder(append, clock, report);
  const budget = createRequestBudget(clock, limits);
  const serve = (): Promise<SocketServer> =>
    serveSocket({
      path,
      clock,
      listen: listenUnix,
      report,
      refused: (fault) => void recording.record("connect", fault),
      open: (send, signal) =>
        createProtocolSession({ handlers: { ...VERBS, ...over }, budget, refusals: recording, report, send, signal }),
    });
  const servers = [await serve()];
  const [server] = servers;
  if (server === undefined) throw new Fault("assert.broken", "a server was started");
  return {
    path,
    recorded,
    reported,
    server,
    serveAgain: async () => {
      const again = await serve();
      servers.push(again);
      return again;
    },
    remove: async () => {
      for (const each of servers) await each.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

export function clientOf(path: string, answerWithinMs?: number): WardenClient {
  return createWardenClient({
    connect: () => connectTo(path),
    program: "test",
    clock: linuxClock(),
    ...(answerWithinMs === undefined ? {} : { answerWithinMs }),
  });
}

/** Writes any bytes, and reads lines when the test asks for them. */
export interface HostilePeer {
  readonly socket: Socket;
  write(bytes: string | Uint8Array): void;
  /** The next line, parsed; undefined when the warden ended the connection. */
  next(): Promise<unknown>;
  /** Sends a request and reads one line. */
  ask(verb: string, args: unknown): Promise<unknown>;
  /** Sends the greeting that the warden expects. */
  hello(): Promise<unknown>;
  end(): void;
}

export async function hostilePeer(path: string): Promise<HostilePeer> {
  const socket = await connectTo(path);
  // The warden may close the connection during a write, which is what is tested.
  socket.on("error", () => undefined);
  const lines: Interface = createInterface({ input: socket });
  const iterator = lines[Symbol.asyncIterator]();
  let id = 0;
  const next = async (): Promise<unknown> => {
    // A reset during a write is an end too.
    const line = await iterator.next().catch(() => undefined);
    return line === undefined || line.done === true ? undefined : JSON.parse(line.value);
  };
  const ask = async (verb: string, args: unknown): Promise<unknown> => {
    socket.write(`${JSON.stringify({ id: ++id, verb, args })}\n`);
    return await next();
  };
  return {
    socket,
    next,
    ask,
    write: (bytes) => void socket.write(bytes),
    hello: () => ask("hello", { protocol: 1, program: "captured" }),
    end: () => void socket.destroy(),
  };
}
