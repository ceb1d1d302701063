// The gate before a TLS server, with the server's own handshake replaced by a count: which
// connections get one, and how many.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createServer } from "node:tls";
import { test, type Test } from "tap";
import { makeAuthority } from "../../hub/authority/issuer.ts";
import { guardConnections } from "../../hub/gate.ts";
import { HANDSHAKES_BURST, HANDSHAKES_PER_S, UNPROVEN_PER_SOURCE_MAX } from "../../hub/limits.ts";
import { portOf } from "../../hub/tls.ts";
import { eventually } from "../lab/runner/process.ts";

async function guarded(t: Test) {
  const server = createServer();
  const counts = { arrived: 0, begun: 0 };
  server.removeAllListeners("connection");
  server.on("connection", () => (counts.begun += 1));
  const notes: unknown[] = [];
  const gate = guardConnections(server, {
    service: "test",
    unprovenMax: 2048,
    provenMax: 2048,
    authority: new X509Certificate(makeAuthority("lab hub", Date.now()).certificatePem),
    journal: (event, _deviceId, detail) => void notes.push({ event, ...detail }),
  });
  server.on("connection", () => (counts.arrived += 1));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    gate.stop();
    server.close();
  });
  const open = (from: string, says: string): void => {
    const socket = connect({ port: portOf(server), host: "127.0.0.1", localAddress: from });
    socket.on("error", () => undefined);
    if (says !== "") socket.write(says);
    sockets.push(socket);
  };
  return { counts, notes, open };
}

test("[TUN-24] a connection that says nothing gets no handshake", async (t) => {
  const { counts, open } = await guarded(t);
  for (let n = 0; n < 100; n++) open("127.0.0.66", "");
  await eventually("the silent ones to arrive", async () => (counts.arrived === 100 ? true : undefined));
  open("127.0.0.1", "\u0016");
  await eventually("the other one to begin", async () => (counts.begun > 0 ? true : undefined));
  t.equal(counts.begun, 1);
});

test("[TUN-24] an address gets no more handshakes than its pace has, and another address gets its own", async (t) => {
  const { counts, notes, open } = await guarded(t);
  const crowd = UNPROVEN_PER_SOURCE_MAX - 24;
  const started = performance.now();
  for (let n = 0; n < crowd; n++) open("127.0.0.66", "\u0016");
  await eventually("the crowd to arrive", async () => (counts.arrived === crowd ? true : undefined));
  await eventually("its burst to be used up", async () => (counts.begun >= HANDSHAKES_BURST ? true : undefined));
  const paidBack = ((performance.now() - started) / 1000) * HANDSHAKES_PER_S;
  t.ok(counts.begun <= HANDSHAKES_BURST + paidBack, `${counts.begun} of ${crowd} began`);
  await eventually("the note", async () => (notes.length > 0 ? true : undefined));
  t.match(notes[0], { event: "connection.crowded", service: "test", over: "pace", from: "127.0.0.66" });
  const before = counts.begun;
  for (let n = 0; n < 20; n++) open("127.0.0.1", "\u0016");
  await eventually("the other address", async () => (counts.begun >= before + 20 ? true : undefined));
});
