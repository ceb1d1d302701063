// The watch over peers that do not read: who is cut off, and who is only slow.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test, type Test } from "tap";
import { ProgressWatch } from "../../hub/progress.ts";
import { eventually, HANG_MS } from "../lab/runner/process.ts";

/** More than the kernel takes for a peer that does not read. */
const BYTES = 64_000_000;

/** A server's socket with much to send, and its peer, which reads only when it is told to. */
async function pair(t: Test): Promise<{ readonly sender: Socket; readonly peer: Socket }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const arrived = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const peer = connect(port, "127.0.0.1").pause();
  const sender = await arrived;
  for (const socket of [sender, peer]) socket.on("error", () => undefined);
  t.teardown(() => {
    for (const each of [sender, peer, server]) each[Symbol.asyncDispose]().catch(() => undefined);
  });
  return { sender, peer };
}

/** Writes in pieces, as an answer is: each counts when the kernel has taken it. */
function send(socket: Socket): void {
  for (let sent = 0; sent < BYTES; sent += 1_000_000) socket.write(Buffer.alloc(1_000_000));
}

test("[TUN-26] a peer that takes nothing between two looks is cut off; one that takes a little, or gets nothing, is not", async (t) => {
  const watch = new ProgressWatch(HANG_MS);
  t.teardown(() => watch.stop());
  const [stuck, slow, idle] = [await pair(t), await pair(t), await pair(t)];
  for (const { sender } of [stuck, slow, idle]) watch.add(sender);
  for (const { sender } of [stuck, slow]) send(sender);
  const left = { was: -1 };
  await eventually("the kernel to take no more", async () => {
    const { writableLength } = stuck.sender;
    const isSame = writableLength === left.was;
    left.was = writableLength;
    return isSame ? true : undefined;
  });
  watch.look();
  const before = slow.sender.writableLength;
  slow.peer.resume();
  await eventually("the slow peer to take a piece", async () => (slow.sender.writableLength < before ? true : undefined));
  slow.peer.pause();
  watch.look();
  t.same(
    [stuck, slow, idle].map(({ sender }) => sender.destroyed),
    [true, false, false],
  );
});
