// The packet bounds, for every division of the bytes into chunks.
import { test } from "tap";
import { FRAMING_START, type Framing, next } from "../../../hub/broker/framing.ts";

const LIMITS = { firstBytesMax: 200, packetBytesMax: 1000, subscribeBytesMax: 100, filtersMax: 3 };

function run(bytes: Uint8Array, chunkBytes: number): Framing | { readonly refused: number | undefined } {
  let framing: Framing = FRAMING_START;
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
    const step = next(framing, bytes.subarray(at, at + chunkBytes), LIMITS);
    if ("refused" in step) return step;
    framing = step.framing;
  }
  return framing;
}

function packet(type: number, length: number): Buffer {
  const header = [type];
  for (let left = length; ;) {
    const byte = left % 128;
    left = Math.floor(left / 128);
    header.push(left > 0 ? byte | 0x80 : byte);
    if (left === 0) return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 0xff)]);
  }
}

test("packets at their bound pass and one more byte is refused, in chunks of any size", async (t) => {
  const good = Buffer.concat([packet(0x10, 200), packet(0xc0, 0), packet(0x30, 1000), packet(0x30, 127), packet(0x30, 128)]);
  for (const chunk of [1, 2, 3, 7, 128, 5000]) {
    t.same(run(good, chunk), { at: "type", packets: 5 });
    t.same(run(packet(0x10, 201), chunk), { refused: 201 }, "the first packet has its own bound");
    t.same(run(Buffer.concat([good, packet(0x30, 1001)]), chunk), { refused: 1001 });
  }
});

test("a length of five bytes is malformed", async (t) => {
  t.same(run(Buffer.of(0x10, 0xff, 0xff, 0xff, 0xff, 0x01), 1), { refused: undefined });
  t.same(run(Buffer.of(0x10, 0x80, 0x80, 0x80, 0x80), 5), { refused: undefined });
});

test("the packet identifiers of PUBACKs, and of nothing else, are reported, in chunks of any size", async (t) => {
  const puback = (id: number): Buffer => Buffer.of(0x40, 2, id >> 8, id & 0xff);
  const others = [packet(0x30, 300), packet(0x50, 2), packet(0x40, 3), packet(0xc0, 0)];
  const bytes = Buffer.concat([packet(0x10, 40), puback(1), ...others, puback(0x1234), puback(65_535), Buffer.of(0x40, 2, 9)]);
  for (const chunk of [1, 2, 3, 5, 5000]) {
    const identifiers: number[] = [];
    let framing: Framing = FRAMING_START;
    for (let at = 0; at < bytes.byteLength; at += chunk) {
      const step = next(framing, bytes.subarray(at, at + chunk), LIMITS);
      if ("refused" in step) return t.fail("refused");
      framing = step.framing;
      identifiers.push(...step.acknowledged);
    }
    t.same(identifiers, [1, 0x1234, 65_535], `in pieces of ${chunk}`);
  }
  return undefined;
});

test("[TUN-22] filters of a SUBSCRIBE and an UNSUBSCRIBE are counted, in chunks of any size", async (t) => {
  const list = (type: number, count: number): Buffer => {
    const filter = type === 8 ? Buffer.of(0, 2, 0x61, 0x62, 1) : Buffer.of(0, 2, 0x61, 0x62);
    const body = Buffer.concat([Buffer.of(0, 1), ...Array.from({ length: count }, () => filter)]);
    return Buffer.concat([Buffer.of((type << 4) | 2, body.byteLength), body]);
  };
  for (const type of [8, 10])
    for (const chunk of [1, 2, 5, 5000]) {
      t.same(run(Buffer.concat([packet(0x10, 40), list(type, 3)]), chunk), { at: "type", packets: 2 });
      t.match(run(Buffer.concat([packet(0x10, 40), list(type, 4)]), chunk), { filters: 4 });
    }
  t.match(run(Buffer.concat([packet(0x10, 40), packet(0x82, 101)]), 7), { refused: 101 }, "a longer one is not looked at");
  const endless = Buffer.concat([packet(0x10, 40), Buffer.of(0x82, 100), Buffer.alloc(100)]);
  t.match(run(endless, 50), { filters: 4 }, "the count stops above the bound");
});
