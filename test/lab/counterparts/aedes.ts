// aedes over mutual TLS in this process: the broker that the hub embeds. It speaks MQTT 3.1.1 only.
import { Aedes } from "aedes";
import type tls from "node:tls";
import type { Pki } from "./pki.ts";
import { startPeer } from "./tls-peer.ts";
import type { TestContext } from "../runner/context.ts";

export interface LabAedes {
  readonly port: number;
  readonly aedes: Aedes;
  /** The clients that finished a handshake: CN and ALPN name. */
  readonly peers: readonly { readonly name: string; readonly alpn: string }[];
  readonly published: readonly { readonly topic: string; readonly payload: string; readonly retain: boolean }[];
  /** The MQTT levels that clients offered. */
  readonly levels: readonly number[];
}

/** Ends with the test. */
export async function startAedes(
  t: TestContext,
  options: { readonly pki: Pki; readonly alpn?: readonly string[] },
): Promise<LabAedes> {
  const { pki, alpn } = options;
  const peers: { name: string; alpn: string }[] = [];
  const published: { topic: string; payload: string; retain: boolean }[] = [];
  const levels: number[] = [];
  const aedes = await Aedes.createBroker();
  aedes.preConnect = (_client, packet, callback) => {
    levels.push(packet.protocolVersion ?? 0);
    callback(null, true);
  };
  aedes.on("publish", (packet, client) => {
    if (client !== null) published.push({ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain });
  });
  const { port } = await startPeer(t, {
    server: pki.server,
    authority: pki.authority,
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    onSecure(socket: tls.TLSSocket) {
      peers.push({ name: String(socket.getPeerCertificate().subject.CN), alpn: String(socket.alpnProtocol) });
      aedes.handle(socket);
    },
  });
  t.teardown(async () => {
    await new Promise<void>((resolve) => aedes.close(resolve));
  });
  return { port, aedes, peers, published, levels };
}
