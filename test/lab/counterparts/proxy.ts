// A small HTTP CONNECT proxy on a real port, as a plant's network puts it between a gateway and the
// internet.
import http from "node:http";
import net from "node:net";
import { assert } from "../../../hal/fault.ts";
import type { TestContext } from "../runner/context.ts";

export interface Proxy {
  readonly port: number;
  /** The requested targets, as written in the requests. */
  readonly asked: readonly string[];
  /** The first bytes that went to a target, to see that they are TLS end to end. */
  readonly firstBytes: readonly Buffer[];
  /** Ends every connection at once, as a network does that breaks. */
  cut(): void;
}

/** Lets every connection through. Ends with the test. */
export async function startProxy(t: TestContext): Promise<Proxy> {
  const asked: string[] = [];
  const firstBytes: Buffer[] = [];
  const open = new Set<net.Socket>();
  const track = <S extends net.Socket>(socket: S): S => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
    return socket;
  };
  const server = http.createServer();
  server.on("connection", track);
  server.on("connect", (request, client) => {
    assert(client instanceof net.Socket, "a proxy's client is a socket");
    asked.push(request.url ?? "");
    const [host, port] = (request.url ?? "").split(":");
    const target = track(net.connect({ host: host ?? "", port: Number(port) }));
    target.once("connect", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      client.once("data", (chunk: Buffer) => firstBytes.push(chunk));
      client.pipe(target).pipe(client);
    });
    target.once("close", () => client.destroy());
    client.once("close", () => target.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  t.teardown(async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a listening server has an address");
  return { port: address.port, asked, firstBytes, cut };
}
