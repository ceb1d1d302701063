// Peers that only take room at a hub: connections that say nothing, and readers that never read.
// Loopback only, and bounded by the caller's count.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { TestContext } from "../runner/context.ts";
import type { HubAddress } from "./hub.ts";

/** Opens TCP connections from one loopback address that never send a byte. */
export async function idleConnections(t: TestContext, port: number, from: string, count: number): Promise<readonly Socket[]> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: "127.0.0.1", localAddress: from }));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(
    sockets.map(async (socket) => {
      socket.on("error", () => undefined);
      await Promise.race([once(socket, "connect"), once(socket, "close")]);
    }),
  );
  return sockets;
}

/** Asks for a file over TLS and never reads the answer. */
export async function slowReaders(
  t: TestContext,
  hub: HubAddress,
  path: string,
  from: string,
  count: number,
): Promise<readonly TLSSocket[]> {
  const sockets: TLSSocket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  const open = async (): Promise<void> => {
    const tcp = connect({ port: hub.estPort, host: "127.0.0.1", localAddress: from });
    tcp.on("error", () => undefined);
    const socket = connectTls({ socket: tcp, servername: "localhost", ca: hub.anchors.authority });
    socket.on("error", () => undefined);
    sockets.push(socket);
    await Promise.race([once(socket, "secureConnect"), once(socket, "close")]);
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  };
  await Promise.all(Array.from({ length: count }, () => open()));
  return sockets;
}

/** True for a request that was answered with `status`; a connection that failed is no answer. */
export async function answered(asking: Promise<{ readonly status: number }>, status: number): Promise<boolean> {
  try {
    return (await asking).status === status;
  } catch {
    return false;
  }
}
