// A TCP proxy whose target the test switches: a place on the network where an attacker decides who
// answers.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { addressOf } from "./est-server.ts";

export interface SwitchableProxy {
  readonly port: number;
  /**
   * Sends new connections to this port of 127.0.0.1 and cuts the open ones. Undefined: nobody
   * answers.
   */
  point(port: number | undefined): void;
  close(): Promise<void>;
}

export async function openSwitchableProxy(): Promise<SwitchableProxy> {
  const open = new Set<Socket>();
  const held: { port: number | undefined } = { port: undefined };
  const track = (socket: Socket): Socket => {
    open.add(socket);
    return socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
  };
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  const server = createServer((socket) => {
    track(socket);
    if (held.port === undefined) return void socket.destroy();
    const beyond = track(connect({ host: "127.0.0.1", port: held.port }));
    beyond.on("close", () => socket.destroy());
    socket.on("close", () => beyond.destroy());
    socket.pipe(beyond).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: addressOf(server.address()).port,
    point(port) {
      held.port = port;
      cut();
    },
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}
