import { crc32 } from "node:zlib";
import { test } from "tap";
import { encodeFrame, FRAME_BODY_BYTES_MAX, readFrames } from "../../../../warden/audit/format/index.ts";

const a = Buffer.from('{"a":1}');
const b = Buffer.from('{"b":"two"}');

test("a frame is u32 length, u32 CRC-32 of length and body, then the body; the highest bit marks the beginning of a write", async (t) => {
  const frame = Buffer.from(encodeFrame(a, false));
  t.equal(frame.toString("hex", 0, 4), "00000007");
  t.equal(frame.readUInt32BE(4), crc32(Buffer.concat([Buffer.from("00000007", "hex"), a])));
  t.same(frame.subarray(8), a);
  const first = Buffer.from(encodeFrame(a, true));
  t.equal(first.toString("hex", 0, 4), "80000007");
  t.equal(first.readUInt32BE(4), crc32(Buffer.concat([Buffer.from("80000007", "hex"), a])));
});

test("frames are read back up to the end", async (t) => {
  const bytes = Buffer.concat([encodeFrame(a, true), encodeFrame(b, false), encodeFrame(a, true)]);
  t.match(readFrames(bytes), { bodies: [a, b, a], validBytes: bytes.byteLength, damage: undefined });
  t.match(readFrames(new Uint8Array()), { bodies: [], validBytes: 0, damage: undefined });
});

test("a body at the bound is taken; a longer one is a defect of ours when written, and no frame when read", async (t) => {
  const most = Buffer.alloc(FRAME_BODY_BYTES_MAX, 0x61);
  t.equal(readFrames(encodeFrame(most, true)).bodies.length, 1);
  t.throws(() => encodeFrame(Buffer.alloc(FRAME_BODY_BYTES_MAX + 1), true), { code: "assert.broken" });
  t.throws(() => encodeFrame(Buffer.alloc(1), true), { code: "assert.broken" });
  const long = Buffer.alloc(8 + FRAME_BODY_BYTES_MAX + 1);
  long.writeUInt32BE(FRAME_BODY_BYTES_MAX + 1, 0);
  t.match(readFrames(long), { bodies: [], damage: { kind: "torn", why: /impossible length/ } });
});

test("[AUD-22] [AUD-20] damage before the beginning of a later write is broken, otherwise torn: in every byte of the damaged frame", async (t) => {
  const good = Buffer.concat([encodeFrame(a, true), encodeFrame(b, true), encodeFrame(a, false)]);
  const damaged = { from: 8 + a.byteLength, to: 8 + a.byteLength + 8 + b.byteLength };
  for (const [tail, kind] of [
    [Buffer.of(), "torn"],
    [Buffer.from(encodeFrame(a, false)), "torn"],
    [Buffer.from(encodeFrame(a, true)), "broken"],
    [Buffer.concat([Buffer.alloc(100), encodeFrame(a, true)]), "broken"],
    [Buffer.concat([Buffer.from("8000"), encodeFrame(a, true).subarray(0, -1)]), "torn"],
  ] as const)
    for (let at = damaged.from; at < damaged.to; at++) {
      const bytes = Buffer.concat([good, tail]);
      bytes[at] = (bytes[at] ?? 0) ^ 0x80;
      t.match(readFrames(bytes), { bodies: [a], validBytes: damaged.from, damage: { kind } });
    }
});
