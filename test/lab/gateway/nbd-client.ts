// A client for nbd.ts that speaks to the block server as QEMU does, for the control tests. It sends
// one request at a time.
import { connect } from "node:net";
import { assert, Fault } from "../../../hal/fault.ts";
import { readExactly } from "./read-exactly.ts";

export interface NbdClient {
  readonly bytes: number;
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array, forced?: boolean): Promise<void>;
  flush(): Promise<void>;
}

const NO_BYTES: Uint8Array = new Uint8Array();

/**
 * @throws Fault `protocol.invalid` when the server breaks the protocol or answers a request with an
 * error.
 */
export async function connectNbd(socketPath: string): Promise<NbdClient> {
  const socket = connect(socketPath);
  socket.on("error", () => socket.destroy());
  const wanted = async (length: number): Promise<Buffer> => {
    const got = await readExactly(socket, length);
    if (got === undefined) throw new Fault("protocol.closed", "the block server hung up");
    return got;
  };
  const hello = await wanted(18);
  assert(hello.subarray(0, 16).toString("latin1") === "NBDMAGICIHAVEOPT", "the server begins with the fixed newstyle");
  const go = Buffer.alloc(4 + 16 + 6);
  go.writeUInt32BE(0b11, 0);
  go.write("IHAVEOPT", 4, "latin1");
  go.writeUInt32BE(7, 12);
  go.writeUInt32BE(6, 16); // No name, no information asked for.
  socket.write(go);
  let bytes = 0;
  for (let type = 0; type !== 1;) {
    const head = await wanted(20);
    type = head.readUInt32BE(12);
    const length = head.readUInt32BE(16);
    const data = length === 0 ? NO_BYTES : await wanted(length);
    if (type === 3 && length === 12) bytes = Number(Buffer.from(data).readBigUInt64BE(2));
    if (type > 2 ** 31) throw new Fault("protocol.invalid", `the block server refused NBD_OPT_GO with ${type}`);
  }
  let cookie = 0n;
  const ask = async (
    command: number,
    offset: number,
    length: number,
    payload: Uint8Array = NO_BYTES,
    flags = 0,
  ): Promise<Buffer> => {
    const head = Buffer.alloc(28);
    head.writeUInt32BE(0x25609513, 0);
    head.writeUInt16BE(flags, 4);
    head.writeUInt16BE(command, 6);
    head.writeBigUInt64BE((cookie += 1n), 8);
    head.writeBigUInt64BE(BigInt(offset), 16);
    head.writeUInt32BE(length, 24);
    socket.write(Buffer.concat([head, payload]));
    const reply = await wanted(16);
    const error = reply.readUInt32BE(4);
    assert(reply.readBigUInt64BE(8) === cookie, "an answer to this request");
    if (error !== 0) throw new Fault("protocol.invalid", `the block server answered with error ${error}`);
    return command === 0 && length > 0 ? wanted(length) : reply;
  };
  return {
    bytes,
    read: (offset, length) => ask(0, offset, length),
    write: async (offset, payload, forced = false) => void (await ask(1, offset, payload.length, payload, forced ? 1 : 0)),
    flush: async () => void (await ask(3, 0, 0)),
  };
}
