// A network block device over a Unix socket: fixed newstyle negotiation, simple replies, flush and
// forced writes (FUA). After https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md;
// QEMU, qemu-io and nbd-client.ts speak to it.
import { createServer, type Socket } from "node:net";
import { asFault, Fault } from "../../../hal/fault.ts";
import { type CutReport, type Loss, type PowerCutDisk, SECTOR_BYTES } from "./disk.ts";
import { readExactly } from "./read-exactly.ts";

const HELLO = 0x4e42444d41474943n; // "NBDMAGIC"
const OPTION_MAGIC = 0x49484156454f5054n; // "IHAVEOPT"
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const HANDSHAKE_FLAGS = 0b11; // Fixed newstyle, no zeroes after the export.
const TRANSMISSION_FLAGS = 0b1101; // Has flags, flush, FUA.
const OPTION = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const;
const REPLY = { ack: 1, server: 2, info: 3, unsupported: 2 ** 31 + 1 } as const;
const INFO = { export: 0, blockSize: 3 } as const;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
const FLAG_FUA = 1;
const EINVAL = 22;
const OPTION_BYTES_MAX = 8192;
/** The protocol's recommendation for a payload. */
const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;

export interface NbdServer {
  readonly socketPath: string;
  /**
   * Resolves with the first fault of the server, of which the client sees no more than the end of
   * its connection: a listener that threw, a full disk, a client that breaks the protocol.
   */
  readonly broken: Promise<Fault>;
  /**
   * Cuts the disk's power: connections end, requests that wait are never carried out, and the cache
   * is lost as `loss` says.
   */
  cut(loss: Loss): CutReport;
  /** @throws Fault the one of {@link NbdServer.broken}. */
  stop(): Promise<void>;
}

/** @throws Fault `socket.listen-failed` when the socket cannot be made. */
export async function serveNbd(disk: PowerCutDisk, socketPath: string): Promise<NbdServer> {
  const connections = new Set<Socket>();
  const broken = Promise.withResolvers<Fault>();
  let first: Fault | undefined;
  const hangUp = (): void => {
    for (const socket of connections) socket.destroy();
  };
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    socket.on("error", () => socket.destroy()); // The client was killed.
    serve(socket, disk).catch((error: unknown) => {
      first ??= asFault(error, "assert.broken", "serve the disk");
      broken.resolve(first);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Fault("socket.listen-failed", `listen on "${socketPath}": ${cause.message}`, { cause })),
    );
    server.listen(socketPath, resolve);
  });
  return {
    socketPath,
    broken: broken.promise,
    cut(loss) {
      hangUp();
      return disk.cut(loss);
    },
    async stop() {
      hangUp();
      await new Promise((resolve) => server.close(resolve));
      if (first !== undefined) throw first;
    },
  };
}

async function serve(socket: Socket, disk: PowerCutDisk): Promise<void> {
  if (await negotiate(socket, disk)) while (await answer(socket, disk));
  socket.end();
}

/** @returns whether the client now wants to transmit; otherwise it has gone. */
async function negotiate(socket: Socket, disk: PowerCutDisk): Promise<boolean> {
  const hello = Buffer.alloc(18);
  hello.writeBigUInt64BE(HELLO, 0);
  hello.writeBigUInt64BE(OPTION_MAGIC, 8);
  hello.writeUInt16BE(HANDSHAKE_FLAGS, 16);
  socket.write(hello);
  // The client's flags, which change nothing in our answers.
  if ((await readExactly(socket, 4)) === undefined) return false;
  for (;;) {
    const head = await readExactly(socket, 16);
    if (head === undefined) return false;
    const [option, length] = [head.readUInt32BE(8), head.readUInt32BE(12)];
    if (head.readBigUInt64BE(0) !== OPTION_MAGIC || length > OPTION_BYTES_MAX)
      throw new Fault(
        "protocol.invalid",
        `option ${option} of ${length} bytes: expected IHAVEOPT and at most ${OPTION_BYTES_MAX}`,
      );
    if (length > 0 && (await readExactly(socket, length)) === undefined) return false;
    switch (option) {
      case OPTION.exportName:
        socket.write(exportInfo(disk));
        return true;
      case OPTION.go:
      case OPTION.info:
        socket.write(optionReply(option, REPLY.info, Buffer.concat([uint16(INFO.export), exportInfo(disk)])));
        socket.write(optionReply(option, REPLY.info, blockSizes()));
        socket.write(optionReply(option, REPLY.ack));
        if (option === OPTION.go) return true;
        break;
      case OPTION.list:
        socket.write(optionReply(option, REPLY.server, Buffer.alloc(4))); // One export, named "".
        socket.write(optionReply(option, REPLY.ack));
        break;
      case OPTION.abort:
        socket.write(optionReply(option, REPLY.ack));
        return false;
      default:
        // Structured replies, TLS, meta contexts.
        socket.write(optionReply(option, REPLY.unsupported));
    }
  }
}

/**
 * Carries out one request.
 * @returns false when the client has gone or was cut off.
 */
async function answer(socket: Socket, disk: PowerCutDisk): Promise<boolean> {
  const head = await readExactly(socket, 28);
  if (head === undefined) return false;
  const [magic, flags, command] = [head.readUInt32BE(0), head.readUInt16BE(4), head.readUInt16BE(6)];
  const [offset, length] = [Number(head.readBigUInt64BE(16)), head.readUInt32BE(24)];
  if (magic !== REQUEST_MAGIC) throw new Fault("protocol.invalid", `a request that begins with ${magic}`);
  const reply = Buffer.alloc(16);
  reply.writeUInt32BE(REPLY_MAGIC, 0);
  head.copy(reply, 8, 8, 16);

  let payload: Buffer | undefined;
  if (command === COMMAND.write && length > 0) {
    if (length > PAYLOAD_BYTES_MAX) throw new Fault("protocol.too-large", `a write of ${length} bytes`);
    payload = await readExactly(socket, length);
    if (payload === undefined) return false;
  }
  // Cut after it was read: it is never carried out.
  if (command === COMMAND.disconnect || socket.destroyed) return false;
  const found = carryOut();
  if (socket.destroyed) return false; // A listener has cut the power.
  if (found === undefined) reply.writeUInt32BE(EINVAL, 4);
  socket.write(reply);
  if (found !== undefined && found.length > 0) socket.write(found);
  return true;

  function carryOut(): Buffer | undefined {
    const inside = offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0 && offset + length <= disk.bytes;
    switch (command) {
      case COMMAND.read:
        return inside && length <= PAYLOAD_BYTES_MAX ? disk.read(offset, length) : undefined;
      case COMMAND.write:
        if (!inside) return undefined;
        if (payload !== undefined) disk.write(offset, payload, (flags & FLAG_FUA) !== 0);
        return Buffer.alloc(0);
      case COMMAND.flush:
        disk.flush();
        return Buffer.alloc(0);
      default:
        return undefined;
    }
  }
}

function exportInfo(disk: PowerCutDisk): Buffer {
  const info = Buffer.alloc(10);
  info.writeBigUInt64BE(BigInt(disk.bytes), 0);
  info.writeUInt16BE(TRANSMISSION_FLAGS, 8);
  return info;
}

function blockSizes(): Buffer {
  const info = Buffer.alloc(14);
  info.writeUInt16BE(INFO.blockSize, 0);
  for (const [index, bytes] of [SECTOR_BYTES, 4096, PAYLOAD_BYTES_MAX].entries()) info.writeUInt32BE(bytes, 2 + index * 4);
  return info;
}

function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  for (const [index, value] of [option, type, data.length].entries()) head.writeUInt32BE(value, 8 + index * 4);
  return Buffer.concat([head, data]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
