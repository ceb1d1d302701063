// Port 443, an ALPN name and a proxy, as the networks of plants require them. The peer is a broker
// in this process, so that its side of TLS can be inspected.
import type { Socket } from "node:net";
import { t as root, test } from "tap";
import { startAedes } from "../lab/counterparts/aedes.ts";
import { needs } from "../lab/runner/needs.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { startProxy } from "../lab/counterparts/proxy.ts";
import { NO_PIPE } from "../lab/counterparts/proxy-answers.ts";
import { startTcpPeer } from "../lab/counterparts/tls-peer.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);

test(
  "[TUN-12] [TUN-2] through an HTTP CONNECT proxy TLS is end to end with the hub, with its ALPN name and the hybrid group",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    const broker = await startAedes(t, { pki, alpn: ["mqtt"] });
    const proxy = await startProxy(t);
    const override = { proxy: { host: "127.0.0.1", port: proxy.port }, alpn: "mqtt" };
    const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, override });
    await tunnel.start();
    const { facts } = await event("connected");
    t.same(new Set(proxy.asked), new Set([`127.0.0.1:${broker.port}`]));
    t.equal(proxy.firstBytes[0]?.[0], 0x16, "what passes the proxy is a TLS handshake");
    t.match(facts, { peer: "localhost", protocol: "TLSv1.3", group: "X25519MLKEM768", mqtt: "3.1.1" });
    t.match(facts.fingerprint, /^sha256:[0-9a-f]{64}$/u);
    t.same(broker.peers.at(-1), { name: "gw-1", alpn: "mqtt" }, "the hub sees the device's certificate, not the proxy");
    t.match(tunnel.status(), { state: "connected", group: "X25519MLKEM768", tls: "TLSv1.3", peer: "localhost" });
  },
);

test("[TUN-12] a server that does not speak the ALPN name is refused", { skip: needs("openssl") }, async (t) => {
  const pki = makePki(directory);
  const broker = await startAedes(t, { pki, alpn: ["h2"] });
  const { tunnel, event } = await labTunnel(t, { pki, port: broker.port, override: { alpn: "mqtt" } });
  await tunnel.start();
  t.equal((await event("refused")).fault.code, "tunnel.protocol");
});

test(
  "[TUN-12] a proxy that refuses, sends garbage, sends too much, sends too early or hangs up is named as the cause",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(directory);
    for (const [what, answer] of NO_PIPE) {
      const behave = (socket: Socket): void => void (answer === undefined ? socket.end() : socket.write(answer, "latin1"));
      const port = await startTcpPeer(t, behave);
      const override = { proxy: { host: "127.0.0.1", port } };
      const { tunnel, event } = await labTunnel(t, { pki, port: 1, override });
      await tunnel.start();
      const { fault } = await event("refused");
      t.equal(fault.code, "tunnel.proxy-refused", `${what}: ${fault.message}`);
    }
  },
);
