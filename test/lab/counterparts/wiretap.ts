// Somebody who listens on the wire: a TCP relay that keeps what passes, in both directions.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { addressOf } from "./est-server.ts";

export interface Wiretap extends AsyncDisposable {
  readonly port: number;
  /** Bytes that passed. */
  readonly length: number;
  /** Whether these bytes passed in one piece, in either direction. */
  hears(bytes: Uint8Array | string): boolean;
}

/** @param port where connections are passed on to, on this machine. */
export async function openWiretap(port: number): Promise<Wiretap> {
  const open = new Set<Socket>();
  const streams: Buffer[][] = [];
  const keep = (from: Socket, to: Socket): void => {
    const heard: Buffer[] = [];
    streams.push(heard);
    open.add(from);
    from.on("data", (bytes: Buffer) => heard.push(bytes)).on("error", () => from.destroy());
    from.on("close", () => (open.delete(from), to.destroy()));
    from.pipe(to);
  };
  const server = createServer((socket) => {
    const beyond = connect({ host: "127.0.0.1", port });
    keep(socket, beyond);
    keep(beyond, socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: addressOf(server.address()).port,
    get length() {
      return streams.flat().reduce((sum, { length }) => sum + length, 0);
    },
    hears: (bytes) => streams.some((heard) => Buffer.concat(heard).includes(bytes)),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
