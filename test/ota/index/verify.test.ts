// Verification of a single chunk: it proves itself or is refused.
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { constants, createZstdCompress, zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { verifyChunk } from "../../../ota/index/index.ts";
import { CHUNK_FILE_BYTES_MAX, chunkId } from "../../../ota/index/format/index.ts";

const content = Buffer.concat([randomBytes(5000), Buffer.alloc(20_000, "text ")]);
const ref = { id: chunkId(content), offset: 0, length: content.byteLength };
const encoded = zstdCompressSync(content);

test("[OTA-31] a chunk that matches the index is decompressed whole", async (t) => {
  t.ok(content.equals(await verifyChunk(encoded, ref)));
});

test("[OTA-31] a chunk of one byte, and one that does not compress", async (t) => {
  for (const bytes of [Buffer.from("x"), randomBytes(262_144)]) {
    const own = { id: chunkId(bytes), offset: 0, length: bytes.byteLength };
    t.ok(bytes.equals(await verifyChunk(zstdCompressSync(bytes), own)));
  }
});

test("[OTA-31] every single flipped byte is detected", async (t) => {
  const small = Buffer.from("a short chunk, so that every byte of it can be tried");
  const frame = zstdCompressSync(small);
  const own = { id: chunkId(small), offset: 0, length: small.byteLength };
  let passed = 0;
  for (let at = 0; at < frame.byteLength; at++) {
    const bad = Buffer.from(frame);
    bad.writeUInt8(bad.readUInt8(at) ^ 0x01, at);
    await verifyChunk(bad, own).then(
      // a flipped bit of the frame header may not affect the content
      (bytes) => (passed += Buffer.from(bytes).equals(small) ? 0 : 1),
      (error) => t.match(error, { code: "chunk.tampered" }),
    );
  }
  t.equal(passed, 0, "no other content ever passed");
});

test("[OTA-31] a chunk of other content or length, cut off, doubled or not zstd at all is refused", async (t) => {
  const other = Buffer.from(content);
  other.writeUInt8(other.readUInt8(9) ^ 1, 9);
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ["other content, rightly compressed", zstdCompressSync(other)],
    ["a byte short", zstdCompressSync(content.subarray(0, -1))],
    ["a byte more", zstdCompressSync(Buffer.concat([content, Buffer.alloc(1)]))],
    ["cut off", encoded.subarray(0, -5)],
    ["two frames", Buffer.concat([encoded, encoded])],
    ["not compressed", content],
    ["empty", new Uint8Array()],
    ["above the bound", new Uint8Array(CHUNK_FILE_BYTES_MAX + 1)],
  ];
  for (const [name, bytes] of cases) await t.rejects(verifyChunk(bytes, ref), { code: "chunk.tampered" }, name);
});

test("[OTA-31] a decompression bomb is stopped at the length in the index", async (t) => {
  const bomb = zstdCompressSync(Buffer.alloc(200_000_000));
  t.ok(bomb.byteLength < 50_000);
  const before = process.memoryUsage().rss;
  await t.rejects(verifyChunk(bomb, ref), { code: "chunk.tampered" });
  t.ok(process.memoryUsage().rss - before < 100_000_000, "not decompressed");
});

test("[OTA-31] a frame that demands a window above 2 MiB is refused, because the decoder would allocate it first", async (t) => {
  await t.resolves(verifyChunk(await streamed(21), ref), "as casync writes them");
  await t.rejects(verifyChunk(await streamed(22), ref), { code: "chunk.tampered" });
});

/** Compressed without announcing the size, so that the frame's header demands the window. */
async function streamed(windowLog: number): Promise<Uint8Array> {
  const stream = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } });
  stream.write(content.subarray(0, 100));
  stream.flush(() => stream.end(content.subarray(100)));
  return buffer(stream);
}
