import { test } from "tap";
import { createFramingGuard } from "../../../agent/tunnel/framing.ts";
import { PACKET_BYTES_MAX } from "../../../agent/tunnel/limits.ts";

const CONNACK = Buffer.from([0x20, 0x02, 0x00, 0x00]);
const INVALID = { code: "tunnel.protocol" };

function guardAfterConnack(): (chunk: Uint8Array) => void {
  const guard = createFramingGuard();
  guard(CONNACK);
  return guard;
}

test("[TUN-3] the first packet must be CONNACK, and there is only one", async (t) => {
  t.throws(() => createFramingGuard()(Buffer.from("HTTP/1.1 400 Bad Request\r\n")), INVALID, "garbage");
  t.throws(() => createFramingGuard()(Buffer.from([0x30, 0x03, 0x00, 0x01, 0x61])), INVALID, "a message before CONNACK");
  t.throws(() => guardAfterConnack()(CONNACK), INVALID, "a second CONNACK");
});

test("[TUN-7] a packet larger than the bound is refused by its header, before its body is read", async (t) => {
  t.throws(() => guardAfterConnack()(Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f])), INVALID, "256 MB");
  t.throws(() => guardAfterConnack()(Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0x01])), INVALID, "a length of five bytes");
  const header = Buffer.from([
    0x32,
    (PACKET_BYTES_MAX & 0x7f) | 0x80,
    ((PACKET_BYTES_MAX >> 7) & 0x7f) | 0x80,
    PACKET_BYTES_MAX >> 14,
  ]);
  const guard = guardAfterConnack();
  guard(header);
  guard(Buffer.alloc(PACKET_BYTES_MAX));
  t.throws(() => guard(Buffer.from([0x00])), INVALID, "the largest packet passes, and the next one is found where it begins");
});

test("[TUN-7] packets that this client never asks for are refused: QoS 2, PUBREL, PINGREQ, AUTH", async (t) => {
  for (const first of [0x34, 0x36, 0x62, 0xc0, 0xf0]) t.throws(() => guardAfterConnack()(Buffer.from([first, 0x00])), INVALID);
  t.doesNotThrow(() => guardAfterConnack()(Buffer.from([0x32, 0x03, 0x00, 0x01, 0x61, 0xd0, 0x00, 0x40, 0x02, 0x00, 0x01])));
});
