// A way to a simulated TPM that a test can cut at a chosen command, before the TPM gets it or
// before its answer comes back.
import { connect, createServer, type Server, type Socket } from "node:net";
import { assert } from "../../../hal/fault.ts";
import type { TestContext } from "../runner/context.ts";
import { freePortPair } from "./swtpm.ts";

/** TPM_CC of the commands that change what outlives a power cut. (Part 2, table 12) */
const CHANGING: readonly number[] = [0x0120, 0x0122, 0x0127, 0x0129, 0x012a, 0x013a];
const HEADER_BYTES = 10;

export interface TpmRelay {
  readonly tcti: string;
  /** Codes of the changing commands that came, since the last {@link cutAt}. */
  readonly changes: readonly number[];
  /** Codes of all commands. */
  readonly commands: readonly number[];
  /** Every byte that went over the bus, both ways, in hex. */
  readonly heard: string;
  /**
   * @param n the command at which `cut` runs, counted from 1; undefined for none.
   * @param when whether the TPM gets that command. Its answer comes back in no case.
   * @param counted which commands count.
   */
  cutAt(n: number | undefined, when?: "before" | "after", counted?: "changing" | "all"): void;
}

/**
 * @param port of the TPM, which may come back at another one. Its control channel, which tss2 asks
 *   for, is at the next one, and so is the relay's.
 */
export async function tpmRelay(t: TestContext, port: () => number, cut: () => Promise<void>): Promise<TpmRelay> {
  const sockets = new Set<Socket>();
  const seen: { changes: readonly number[]; commands: readonly number[]; heard: string } = {
    changes: [],
    commands: [],
    heard: "",
  };
  let at: { readonly n: number; readonly when: "before" | "after"; readonly counted: "changing" | "all" } | undefined;

  const join = (client: Socket, chip: Socket): (() => void) => {
    const end = (): void => {
      for (const socket of [client, chip]) socket.destroy();
    };
    for (const socket of [client, chip]) {
      sockets.add(socket);
      socket.on("error", end).on("close", () => (sockets.delete(socket), end()));
    }
    return end;
  };

  const isNumber = ({ n, counted }: { readonly n: number; readonly counted: "changing" | "all" }, code: number): boolean =>
    counted === "all" ? seen.commands.length === n : CHANGING.includes(code) && seen.changes.length === n;

  const serve = (client: Socket): void => {
    const chip = connect({ host: "127.0.0.1", port: port() });
    let isLast = false;
    const end = join(client, chip);
    client.on("data", (command: Buffer) => {
      assert(command.length >= HEADER_BYTES && command.readUInt32BE(2) === command.length, "a command comes in one piece");
      const code = command.readUInt32BE(6);
      seen.heard += command.toString("hex");
      seen.commands = [...seen.commands, code];
      if (CHANGING.includes(code)) seen.changes = [...seen.changes, code];
      isLast = at !== undefined && isNumber(at, code);
      if (isLast && at?.when === "before") void cut().then(end, end);
      else chip.write(command);
    });
    chip.on("data", (answer: Buffer) => {
      seen.heard += answer.toString("hex");
      if (isLast) void cut().then(end, end);
      else client.write(answer);
    });
  };

  const control = (client: Socket): void => {
    const chip = connect({ host: "127.0.0.1", port: port() + 1 });
    join(client, chip);
    client.pipe(chip).pipe(client);
  };

  const [servers, first] = await listenInPair([createServer(serve), createServer(control)]);
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) await new Promise((resolve) => server.close(resolve));
  });
  return {
    tcti: `swtpm:host=127.0.0.1,port=${first}`,
    get changes() {
      return seen.changes;
    },
    get commands() {
      return seen.commands;
    },
    get heard() {
      return seen.heard;
    },
    cutAt: (n, when = "before", counted = "changing") => {
      at = n === undefined ? undefined : { n, when, counted };
      Object.assign(seen, { changes: [], commands: [], heard: "" });
    },
  };
}

type ServerPair = readonly [Server, Server];

/** @returns the servers and the port of the first; the second has the next one. */
async function listenInPair(servers: ServerPair): Promise<readonly [ServerPair, number]> {
  for (;;) {
    const first = await freePortPair();
    const isFree = await Promise.all(servers.map((server, at) => listensAt(server, first + at)));
    if (isFree.every(Boolean)) return [servers, first];
    for (const server of servers) if (server.listening) await new Promise((resolve) => server.close(resolve));
  }
}

function listensAt(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
  });
}
