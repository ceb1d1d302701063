// A way to a simulated TPM that a test can cut at a chosen command, before the TPM gets it or
// before its answer comes back.
import { connect, createServer, type Socket } from "node:net";
import { assert } from "../../../hal/fault.ts";
import type { TestContext } from "../runner/context.ts";

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
   * @param n the changing command at which `cut` runs, counted from 1; undefined for none.
   * @param when whether the TPM gets that command. Its answer comes back in no case.
   */
  cutAt(n: number | undefined, when?: "before" | "after"): void;
}

/** @param port of the TPM, which may come back at another one. */
export async function tpmRelay(t: TestContext, port: () => number, cut: () => Promise<void>): Promise<TpmRelay> {
  const sockets = new Set<Socket>();
  const seen: { changes: readonly number[]; commands: readonly number[]; heard: string } = {
    changes: [],
    commands: [],
    heard: "",
  };
  let at: { readonly n: number; readonly when: "before" | "after" } | undefined;

  const serve = (client: Socket): void => {
    const chip = connect({ host: "127.0.0.1", port: port() });
    let isLast = false;
    const end = (): void => {
      for (const socket of [client, chip]) socket.destroy();
    };
    for (const socket of [client, chip]) {
      sockets.add(socket);
      socket.on("error", end).on("close", () => (sockets.delete(socket), end()));
    }
    client.on("data", (command: Buffer) => {
      assert(command.length >= HEADER_BYTES && command.readUInt32BE(2) === command.length, "a command comes in one piece");
      const code = command.readUInt32BE(6);
      seen.heard += command.toString("hex");
      seen.commands = [...seen.commands, code];
      if (CHANGING.includes(code)) seen.changes = [...seen.changes, code];
      isLast = at !== undefined && CHANGING.includes(code) && seen.changes.length === at.n;
      if (isLast && at?.when === "before") void cut().then(end, end);
      else chip.write(command);
    });
    chip.on("data", (answer: Buffer) => {
      seen.heard += answer.toString("hex");
      if (isLast) void cut().then(end, end);
      else client.write(answer);
    });
  };

  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert(address !== null && typeof address === "object", "a TCP server has a port");
  return {
    tcti: `swtpm:host=127.0.0.1,port=${address.port}`,
    get changes() {
      return seen.changes;
    },
    get commands() {
      return seen.commands;
    },
    get heard() {
      return seen.heard;
    },
    cutAt: (n, when = "before") => {
      at = n === undefined ? undefined : { n, when };
      Object.assign(seen, { changes: [], commands: [], heard: "" });
    },
  };
}
