// The edges of streams, each fed one byte at a time: what a peer may do to any socket, pipe or
// line. A refusal must not cost the square of the bytes, nor memory for each piece. [STA-31]
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import { EMPTY_LINE, readBytes } from "../../../agent/console/line.ts";
import { OPERATION_ANSWER_BYTES_MAX } from "../../../agent/operations/format.ts";
import { createFramingGuard } from "../../../agent/tunnel/framing.ts";
import { PACKET_BYTES_MAX } from "../../../agent/tunnel/limits.ts";
import { Fault } from "../../../hal/fault.ts";
import { collectBytes } from "../../../hal/format/collect.ts";
import { textLines } from "../../../hal/linux/child/lines.ts";
import { FRAMING_START, next } from "../../../hub/broker/framing.ts";
import { MQTT_CONNECT_BYTES_MAX, MQTT_FILTERS_MAX, MQTT_SUBSCRIBE_BYTES_MAX } from "../../../hub/limits.ts";
import { ROOT_BYTES_MAX } from "../../../ota/trust/limits.ts";
import { exchange } from "../../../provisioning/enrollers/exchange.ts";
import { RESPONSE_BYTES_MAX } from "../../../provisioning/enrollers/limits.ts";
import { connectThroughProxy } from "../../../provisioning/tls/proxy.ts";
import { INSTALL_LINE_BYTES_MAX } from "../../../warden/install/format.ts";
import { createLineSplitter } from "../../../warden/protocol/framing/format.ts";
import { PROTOCOL_LINE_BYTES_MAX } from "../../../warden/protocol/format.ts";
import { type Edge, text } from "./edge.ts";

export function streamEdges(): ReadonlyMap<string, Edge> {
  return new Map([
    ["lines of the warden's socket, byte by byte", lineEdge(PROTOCOL_LINE_BYTES_MAX)],
    ["answers at the local socket, byte by byte", lineEdge(OPERATION_ANSWER_BYTES_MAX)],
    ["lines of the installer, byte by byte", installerEdge()],
    ["HTTP answer, byte by byte", httpEdge()],
    ["file of the repository, byte by byte", fileEdge()],
    ["answer of the proxy, byte by byte", proxyEdge()],
    ["packets from the hub, byte by byte", packetEdge()],
    ["packets from a device, byte by byte", devicePacketEdge()],
    ["keys at the console, byte by byte", keysEdge()],
  ]);
}

/** Every byte in memory of its own, as a socket delivers it. */
function* single(bytes: Uint8Array): Generator<Buffer> {
  for (const byte of bytes) yield Buffer.from([byte]);
}

function lineEdge(lineBytesMax: number): Edge {
  return {
    bytesMax: lineBytesMax,
    boundedBefore: true,
    take: (bytes) => {
      const splitter = createLineSplitter(lineBytesMax);
      let lines = 0;
      for (const piece of single(bytes)) for (const line of splitter.push(piece)) lines += line.byteLength;
      return lines;
    },
    valid: () => Buffer.concat([text("a", lineBytesMax - 1)(), Buffer.from("\n")]),
    worst: new Map([
      ["a line without an end", text("a", lineBytesMax)],
      ["empty lines", text("\n", lineBytesMax)],
      ["lines of one byte", text("a\n", lineBytesMax)],
    ]),
  };
}

function installerEdge(): Edge {
  return {
    bytesMax: INSTALL_LINE_BYTES_MAX,
    boundedBefore: true,
    take: async (bytes) => {
      let lines = 0;
      for await (const line of textLines(pieces(bytes), INSTALL_LINE_BYTES_MAX)) lines += line.length;
      return lines;
    },
    valid: () => Buffer.concat([text("a", INSTALL_LINE_BYTES_MAX - 1)(), Buffer.from("\n")]),
    worst: new Map([
      ["a line without an end", text("a", INSTALL_LINE_BYTES_MAX)],
      ["empty lines", text("\n", INSTALL_LINE_BYTES_MAX)],
    ]),
  };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Buffer> {
  yield* single(bytes);
}

/** A server that sends each byte of its answer by itself, head and body. */
class OneByteServer extends Duplex {
  readonly #answer: Iterator<Buffer>;

  constructor(answer: Uint8Array) {
    super();
    this.#answer = single(answer);
  }

  override _read(): void {
    const piece = this.#answer.next();
    this.push(piece.done === true ? null : piece.value);
  }

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }
}

const HEAD = "HTTP/1.1 200 OK\r\n\r\n";

function httpEdge(): Edge {
  const answer = (fill: string, bodyBytes: number) => (): Uint8Array =>
    Buffer.concat([Buffer.from(HEAD), text(fill, bodyBytes)()]);
  return {
    bytesMax: HEAD.length + RESPONSE_BYTES_MAX,
    boundedBefore: true,
    take: async (bytes) =>
      await exchange(new OneByteServer(bytes), {
        method: "GET",
        path: "/.well-known/est/cacerts",
        host: "hub.example:8443",
        bytesMax: RESPONSE_BYTES_MAX - 16,
      }),
    valid: answer("a", RESPONSE_BYTES_MAX - 16),
    worst: new Map([
      ["a body above the bound", answer("a", RESPONSE_BYTES_MAX)],
      ["a head without an end", text("a: b\r\n", RESPONSE_BYTES_MAX)],
      ["no HTTP", text("a", RESPONSE_BYTES_MAX)],
      [
        "chunks of one byte",
        () =>
          Buffer.concat([
            Buffer.from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            text("1\r\na\r\n", RESPONSE_BYTES_MAX - 64)(),
          ]),
      ],
    ]),
  };
}

/** A file of metadata, as the client of the repository collects it. */
function fileEdge(): Edge {
  return {
    bytesMax: ROOT_BYTES_MAX,
    take: async (bytes) =>
      await collectBytes(pieces(bytes), ROOT_BYTES_MAX - 1, () => new Fault("fetch.too-large", "the file is too large")),
    boundedBefore: true,
    valid: text("a", ROOT_BYTES_MAX - 1),
    worst: new Map([["a file above the bound", text("a", ROOT_BYTES_MAX)]]),
  };
}

const PROXY_HEAD_BYTES = 8192;

function proxyEdge(): Edge {
  const accepted = "HTTP/1.1 200 OK\r\nX: ";
  return {
    bytesMax: PROXY_HEAD_BYTES,
    boundedBefore: true,
    take: async (bytes) => {
      const socket = new Socket();
      const target = { host: "hub.example", port: 8443 };
      const asked = connectThroughProxy(socket, {
        proxy: { host: "proxy.example", port: 3128 },
        target,
        faultCode: "enrol.unreachable",
      });
      for (const piece of single(bytes)) socket.emit("data", piece);
      socket.emit("close");
      try {
        await asked;
      } finally {
        socket.destroy();
      }
    },
    valid: () => Buffer.from(`${accepted}${"a".repeat(PROXY_HEAD_BYTES - accepted.length - 4)}\r\n\r\n`),
    worst: new Map([
      ["a head without an end", text("a", PROXY_HEAD_BYTES)],
      ["line ends", text("\r\n\r", PROXY_HEAD_BYTES)],
      ["fields without an end", () => Buffer.from(`HTTP/1.1 200 OK\r\n${"a:b\r\n".repeat(1600)}`)],
      ["a refusal with a long reason", () => Buffer.from(`HTTP/1.1 403 ${"a".repeat(8000)}\r\n\r\n`)],
    ]),
  };
}

const CONNACK = [0x20, 0x02, 0x00, 0x00];

function packetEdge(): Edge {
  const publish = (bytes: number): Buffer =>
    Buffer.concat([
      Buffer.from([...CONNACK, 0x30, (bytes & 0x7f) | 0x80, ((bytes >> 7) & 0x7f) | 0x80, bytes >> 14]),
      Buffer.alloc(bytes),
    ]);
  return {
    bytesMax: PACKET_BYTES_MAX,
    boundedBefore: true,
    take: (bytes) => {
      const guard = createFramingGuard();
      for (const piece of single(bytes)) guard(piece);
    },
    valid: () => publish(PACKET_BYTES_MAX - 64),
    worst: new Map([
      [
        "answers to pings, then a second CONNACK",
        () =>
          Buffer.from([
            ...CONNACK,
            ...Array<number>(PACKET_BYTES_MAX - 8)
              .fill(0)
              .map((_, at) => (at % 2 === 0 ? 0xd0 : 0)),
            ...CONNACK,
          ]),
      ],
      ["a length of five bytes", () => Buffer.from([...CONNACK, 0x30, 255, 255, 255, 255, 255])],
    ]),
  };
}

function devicePacketEdge(): Edge {
  const connect = Buffer.from([0x10, 0x00]);
  const subscribe = (fill: readonly number[]): Uint8Array => {
    const body = Buffer.alloc(MQTT_SUBSCRIBE_BYTES_MAX);
    body.fill(Buffer.from(fill), 2);
    const { byteLength } = body;
    return Buffer.concat([connect, Buffer.from([0x82, (byteLength & 0x7f) | 0x80, byteLength >> 7]), body]);
  };
  const limits = {
    firstBytesMax: MQTT_CONNECT_BYTES_MAX,
    packetBytesMax: PACKET_BYTES_MAX,
    subscribeBytesMax: MQTT_SUBSCRIBE_BYTES_MAX,
    filtersMax: MQTT_FILTERS_MAX,
  };
  return {
    bytesMax: MQTT_SUBSCRIBE_BYTES_MAX + 8,
    boundedBefore: true,
    take: (bytes) => {
      let framing = FRAMING_START;
      for (const piece of single(bytes)) {
        const step = next(framing, piece, limits);
        if ("refused" in step) throw new Fault("tunnel.protocol", `a packet of ${step.refused ?? "unknown"} bytes is refused`);
        framing = step.framing;
      }
    },
    valid: () => subscribe([0x07, 0xfb]),
    worst: new Map([
      ["empty filters", () => subscribe([0])],
      ["filters of one character", () => subscribe([0, 1, 0x61, 0])],
    ]),
  };
}

function keysEdge(): Edge {
  return {
    bytesMax: 4096,
    boundedBefore: true,
    take: (bytes) => {
      let state = EMPTY_LINE;
      let isTooLong = false;
      for (const piece of single(bytes)) {
        const read = readBytes(state, piece);
        state = read.state;
        isTooLong ||= read.events.some(({ kind }) => kind === "too-long");
      }
      if (isTooLong) throw new Fault("serial.overrun", "the line is too long");
    },
    valid: text("status\r", 4096),
    worst: new Map([
      ["one line", () => Buffer.concat([text("a", 4095)(), Buffer.from("\r")])],
      ["lines that are rubbed out", text("a\u007f", 4096)],
    ]),
  };
}
