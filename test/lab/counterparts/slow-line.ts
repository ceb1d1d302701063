// A line that all connections share, at one rate, with one long queue in front of it: what a modem
// at the edge of a mobile network is. What comes first goes first, so an answer waits behind all
// that was asked for before it.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { portOf } from "./static-repository.ts";
import type { TestContext } from "../runner/context.ts";

const TICK_MS = 10;

export interface SlowLine {
  readonly port: number;
  /** Bytes that came through to the client. */
  bytes(): number;
  /** Ends every connection, as a network does that breaks. What is in the queue is lost. */
  cut(): void;
}

/** To `target` on this machine. Requests are small and pass at once. */
export async function startSlowLine(t: TestContext, target: number, bytesPerSecond: number): Promise<SlowLine> {
  const open = new Set<Socket>();
  let queue: { readonly to: Socket; readonly bytes: Buffer }[] = [];
  let sent = 0;
  let room = 0;
  const track = (socket: Socket): Socket => {
    open.add(socket);
    return socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
  };
  const server = createServer((client) => {
    const beyond = track(connect({ host: "127.0.0.1", port: target }));
    track(client).on("data", (bytes: Buffer) => beyond.write(bytes));
    beyond.on("data", (bytes: Buffer) => queue.push({ to: client, bytes }));
    beyond.on("close", () => queue.push({ to: client, bytes: Buffer.alloc(0) }));
    client.on("close", () => beyond.destroy());
  });
  const drain = setInterval(() => {
    room = Math.min(room + (bytesPerSecond * TICK_MS) / 1000, bytesPerSecond);
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { to, bytes } = next;
      const passing = bytes.subarray(0, Math.floor(room));
      if (bytes.length > 0 && passing.length === 0) return void queue.unshift(next);
      if (bytes.length === 0) to.end();
      else if (!to.destroyed) to.write(passing);
      sent += passing.length;
      room -= passing.length;
      if (passing.length < bytes.length) queue.unshift({ to, bytes: bytes.subarray(passing.length) });
    }
  }, TICK_MS);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    queue = [];
    for (const socket of open) socket.destroy();
  };
  t.teardown(async () => {
    clearInterval(drain);
    cut();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: portOf(server.address()), bytes: () => sent, cut };
}
