// The index of an image: it has one form, and any other is refused.
import { test } from "tap";
import fc from "fast-check";
import { Fault } from "../../../hal/fault.ts";
import { chunkId, CHUNK_BYTES_MAX, INDEX_BYTES_MAX, readIndex, writeIndex } from "../../../ota/index/format/index.ts";

const sizes = { minBytes: 4, avgBytes: 8, maxBytes: 16 };
const refs = [5, 16, 4, 1].map((length, n) => ({ id: chunkId(Buffer.from(`chunk ${n}`)), length }));
const good = writeIndex(refs, sizes);

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(good);
  change(bytes);
  return bytes;
}

const word = (at: number, value: bigint) => changed((bytes) => bytes.writeBigUInt64LE(value, at));

test("[OTA-30] a written index is read back: sizes, offsets, ids, in order", async (t) => {
  const index = readIndex(good);
  t.equal(index.imageBytes, 26);
  t.same(index.sizes, sizes);
  t.same(
    Array.from({ length: index.count }, (_, n) => index.at(n)),
    refs.map((ref, n) => ({ ...ref, offset: [0, 5, 21, 25][n] })),
  );
  t.throws(() => index.at(4), { code: "assert.broken" });
  t.throws(() => index.at(-1), { code: "assert.broken" });
});

test("[OTA-30] the index of an empty image has no chunk", async (t) => {
  const index = readIndex(writeIndex([], sizes));
  t.equal(index.count, 0);
  t.equal(index.imageBytes, 0);
});

test("[OTA-30] an index that differs in structure is refused with a message that names the place", async (t) => {
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ["nothing", new Uint8Array(), /cut off/],
    ["a head only", good.subarray(0, 64), /cut off/],
    ["cut in an item", good.subarray(0, -7), /cut off/],
    ["cut by one whole item", good.subarray(0, -40), /tail/],
    ["a byte more", Buffer.concat([good, Buffer.alloc(1)]), /cut off/],
    ["an item's length more", Buffer.concat([good, Buffer.alloc(40)]), /table|tail/],
    ["two indexes", Buffer.concat([good, good]), /cut off|table/],
    ["another header size", word(0, 47n), /at byte 0/],
    ["another type", word(8, 1n), /type of a casync index/],
    ["ids by SHA-256", word(16, 0x9000_0000_0000_0000n), /SHA-256/],
    ["an archive's flags", word(16, 0xb000_0000_0000_0001n), /archive/],
    ["least size zero", word(24, 0n), /chunk sizes/],
    ["sizes that fall", word(32, 17n), /chunk sizes/],
    ["chunks too large for us", word(40, BigInt(CHUNK_BYTES_MAX) + 1n), /chunk sizes/],
    ["a table of known size", word(48, 200n), /table size/],
    ["another table type", word(56, 1n), /type of a table/],
    ["a chunk without bytes", word(64 + 40, 5n), /chunk 1 has 0 bytes/],
    ["a chunk that ends before it starts", word(64 + 40, 4n), /chunk 1 has -1 bytes/],
    ["a chunk above the largest size", word(64 + 40, 22n), /chunk 1 has 17 bytes/],
    ["a short chunk that is not the last", word(64, 3n), /chunk 0 has 3 bytes/],
    ["an end near 2^64", word(64 + 120, 0xffff_ffff_ffff_fff0n), /chunk 3/],
    ["a tail with other zeros", word(good.byteLength - 40, 1n), /zeros/],
    ["a tail that points elsewhere", word(good.byteLength - 24, 49n), /offset/],
    ["a tail of another size", word(good.byteLength - 16, 8n), /size of the table/],
    ["another marker", word(good.byteLength - 8, 0n), /marker/],
  ];
  for (const [name, bytes, message] of cases) t.throws(() => readIndex(bytes), { code: "index.invalid", message }, name);
});

test("[OTA-30] an index above the bound is refused before it is read", async (t) => {
  t.throws(() => readIndex(new Uint8Array(INDEX_BYTES_MAX + 1)), { code: "index.too-large" });
});

test("[OTA-30] for any bytes, the reader returns an index that writes the same bytes, or throws its own fault", async () => {
  const mutated = fc
    .tuple(fc.nat(good.byteLength - 1), fc.integer({ min: 0, max: 255 }), fc.nat(good.byteLength))
    .map(([at, value, end]) => changed((bytes) => bytes.writeUInt8(value, at)).subarray(0, end < 200 ? end : undefined));
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      try {
        const index = readIndex(bytes);
        const again = writeIndex(
          Array.from({ length: index.count }, (_, n) => index.at(n)),
          index.sizes,
        );
        // flags without a meaning are not kept
        return again.every((byte, at) => (at >= 16 && at < 24) || byte === bytes[at]);
      } catch (error) {
        return error instanceof Fault && error.code === "index.invalid";
      }
    }),
  );
});

test("[OTA-30] an index that no reader would accept is not written either", async (t) => {
  t.throws(() => writeIndex([{ id: "../../etc", length: 5 }], sizes), { code: "index.invalid" });
  t.throws(() => writeIndex([{ id: chunkId(Buffer.alloc(0)), length: 17 }], sizes), { code: "index.invalid" });
});
