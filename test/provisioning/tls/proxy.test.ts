import type { Socket } from "node:net";
import { test } from "tap";
import { createEstEnroller } from "../../../provisioning/enrollers/index.ts";
import { NO_PIPE } from "../../lab/counterparts/proxy-answers.ts";
import { NEVER_ASKED } from "../../lab/counterparts/pki.ts";
import { startTcpPeer } from "../../lab/counterparts/tls-peer.ts";

const REQUEST = Buffer.from("3000", "hex");

test("[ID-7] [TUN-12] any answer of a proxy that is no pipe ends the attempt, names the proxy, and leaves no connection", async (t) => {
  for (const [what, answer] of NO_PIPE) {
    const ended = Promise.withResolvers<void>();
    const behave = (socket: Socket): void => {
      socket.on("close", ended.resolve);
      socket.once("data", () => void (answer === undefined ? socket.end() : socket.write(answer, "latin1")));
    };
    const port = await startTcpPeer(t, behave);
    const hub = { host: "hub.example", port: 443, authority: NEVER_ASKED, proxy: { host: "127.0.0.1", port } };
    const enroller = createEstEnroller({ hub });
    const message = new RegExp(`proxy 127\\.0\\.0\\.1:${port} for "hub\\.example:443"`, "u");
    await t.rejects(enroller.enrol(REQUEST), { code: "enrol.unreachable", message }, what);
    await t.resolves(ended.promise, `${what}: the connection is closed`);
  }
});

test("[TUN-12] an IPv6 address is sent in brackets", async (t) => {
  const requests: string[] = [];
  const behave = (socket: Socket): void =>
    void socket.once("data", (chunk: Buffer) => {
      requests.push(chunk.toString());
      socket.end();
    });
  const port = await startTcpPeer(t, behave);
  const hub = { host: "2001:db8::1", port: 443, authority: NEVER_ASKED, proxy: { host: "127.0.0.1", port } };
  await t.rejects(createEstEnroller({ hub }).enrol(REQUEST), { code: "enrol.unreachable" });
  t.same(requests, ["CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"]);
});
