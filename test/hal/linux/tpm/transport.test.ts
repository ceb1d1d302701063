// The way to the TPM, with peers that hang, lie or end.
import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { connectSimulator, getRandom, openTpmDevice, Tpm } from "../../../../hal/linux/tpm/index.ts";
import type { TpmTransport } from "../../../../hal/linux/tpm/transport.ts";
import { startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { needs } from "../../../lab/runner/needs.ts";

/** A response of TPM2_GetRandom: tag, size, code, the TPM2B. */
const RANDOM = Buffer.from("80010000000e000000000002beef", "hex");
const BUSY = Buffer.from("80010000000a00000922", "hex");

/** A peer on a Unix socket that answers each command with what `answer` gives. */
async function peer(t: Test, answer: (socket: Socket, command: Buffer) => void): Promise<TpmTransport> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-peer-"));
  const path = join(directory, "socket");
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined).on("data", (command) => answer(socket, Buffer.from(command)));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });
  const transport = await connectSimulator({ path });
  t.teardown(() => transport[Symbol.asyncDispose]());
  return transport;
}

/** A FIFO in place of the device: what is written to it is what is read from it. */
async function fifo(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-device-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "tpmrm0");
  execFileSync("mkfifo", [path]);
  return path;
}

test("[ID-41] a response that comes byte by byte is put together", async (t) => {
  const tpm = new Tpm(
    await peer(t, (socket) => {
      for (const byte of RANDOM) socket.write(Uint8Array.of(byte));
    }),
  );
  t.same(await getRandom(tpm, 2), new Uint8Array([0xbe, 0xef]));
});

test("[ID-41] a TPM that does not answer ends the command, and the way to it is not used again", async (t) => {
  const answers: Socket[] = [];
  const transport = await peer(t, (socket) => answers.push(socket));
  const tpm = new Tpm(transport, { timeoutMs: 50 });
  await t.rejects(getRandom(tpm, 2), { code: "tpm.timeout", message: /did not answer within 50 ms/ });
  await t.rejects(getRandom(tpm, 2), { code: "tpm.unreachable" });
  t.equal(answers.length, 1, "the second command was not sent: the late answer to the first would be taken for its own");
});

for (const [what, bytes] of [
  ["a size below the header's", "80010000000900000000"],
  ["a size above the largest response", "80010000100100000000"],
  ["a size of 4 GiB", "8001ffffffff00000000"],
  ["more bytes than its size", "80010000000a0000000000"],
] as const)
  test(`[ID-41] a response with ${what} closes the way to the TPM`, async (t) => {
    const tpm = new Tpm(await peer(t, (socket) => socket.write(Buffer.from(bytes, "hex"))));
    await t.rejects(getRandom(tpm, 2), { code: "tpm.protocol" });
    await t.rejects(getRandom(tpm, 2), { code: "tpm.unreachable" });
  });

test("[ID-41] a TPM that speaks unasked is not listened to", async (t) => {
  const { promise: greeted, resolve } = Promise.withResolvers<Socket>();
  const transport = await peer(t, (socket) => {
    socket.write(RANDOM);
    resolve(socket);
  });
  const tpm = new Tpm(transport);
  t.ok(await getRandom(tpm, 2));
  const socket = await greeted;
  const ended = new Promise((end) => socket.once("close", end));
  socket.write(RANDOM);
  await ended;
  await t.rejects(getRandom(tpm, 2), { code: "tpm.unreachable" });
});

test("[ID-41] commands of several callers reach the TPM one at a time", async (t) => {
  let underWay = 0;
  let most = 0;
  const tpm = new Tpm(
    await peer(t, (socket, command) => {
      underWay += command.length / 12;
      most = Math.max(most, underWay);
      setImmediate(() => {
        underWay -= 1;
        socket.write(RANDOM);
      });
    }),
  );
  await Promise.all(Array.from({ length: 8 }, () => getRandom(tpm, 2)));
  t.equal(most, 1);
});

test("a TPM that is busy is asked again with the same bytes, and not for ever", async (t) => {
  const asked: string[] = [];
  const sometimes = new Tpm(
    await peer(t, (socket, command) => {
      asked.push(command.toString("hex"));
      socket.write(asked.length < 3 ? BUSY : RANDOM);
    }),
  );
  t.same(await getRandom(sometimes, 2), new Uint8Array([0xbe, 0xef]));
  t.same(asked, ["80010000000c0000017b0002", "80010000000c0000017b0002", "80010000000c0000017b0002"]);
  const always = new Tpm(await peer(t, (socket) => socket.write(BUSY)), { retriesMax: 2 });
  await t.rejects(getRandom(always, 2), { code: "tpm.busy", message: /0x922 \(TPM_RC_RETRY\)/ });
});

test("a TPM that ends, or is not there, is unreachable", async (t) => {
  const tpm = new Tpm(await peer(t, (socket) => socket.destroy()));
  await t.rejects(getRandom(tpm, 2), { code: "tpm.unreachable" });
  await t.rejects(connectSimulator({ path: "/nonexistent/socket" }), {
    code: "tpm.unreachable",
    message: /check that there is a TPM/,
  });
  await t.rejects(openTpmDevice("/nonexistent/tpmrm0"), { code: "tpm.unreachable", message: /may open it/ });
});

test("[ID-41] the device is written and read once for a command, and what it gives is checked", async (t) => {
  const path = await fifo(t);
  await using device = await openTpmDevice(path);
  t.same(Buffer.from(await device.exchange(RANDOM, 60_000)), RANDOM);
  await t.rejects(device.exchange(Buffer.from("80010000000e00000000", "hex"), 60_000), { code: "tpm.protocol" });
  await t.rejects(device.exchange(RANDOM, 60_000), { code: "tpm.unreachable", message: /failed before/ });
});

test("[ID-41] a device that does not answer ends the command, and its closing waits for nobody", async (t) => {
  const path = await fifo(t);
  await using other = await open(path, "r+");
  {
    await using device = await openTpmDevice(path);
    await t.rejects(device.exchange(new Uint8Array(), 50), { code: "tpm.timeout" });
    await t.rejects(device.exchange(RANDOM, 50), { code: "tpm.unreachable" });
  }
  // The read is the kernel's until something comes.
  await other.write(RANDOM);
});

test("a simulator is reached by TCP as well", { skip: needs("swtpm") }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  await using tpm = new Tpm(await connectSimulator({ host: "127.0.0.1", port: chip.port }));
  t.equal((await getRandom(tpm, 100)).length, 100);
});
