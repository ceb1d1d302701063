// Recordings of USB traffic.
import { test } from "tap";
import { readUsbTap } from "./usb-tap.ts";

const CONTROL = 2;
const BULK = 3;

/** As QEMU writes it: usbmon's packet of 64 bytes after the 16 of pcap. */
function packet(atMs: number, type: "S" | "C", transfer: number, setup: string, data = 0): Buffer {
  const bytes = Buffer.alloc(16 + 64 + data);
  bytes.writeUInt32LE(Math.floor(atMs / 1000), 0);
  bytes.writeUInt32LE((atMs % 1000) * 1000, 4);
  bytes.writeUInt32LE(64 + data, 8);
  bytes.writeUInt32LE(64 + data, 12);
  bytes.write(type, 16 + 8, "latin1");
  bytes.writeUInt8(transfer, 16 + 9);
  bytes.write(setup, 16 + 40, "hex");
  return bytes;
}

function file(...packets: readonly Buffer[]): Buffer {
  const head = Buffer.from("d4c3b2a1020004000000000000000000ffffffffdc000000", "hex");
  return Buffer.concat([head, ...packets]);
}

test("the machine's requests are listed in order, without the answers", (t) => {
  const descriptor = packet(1_700_000_000_250, "S", CONTROL, "8006000100001200");
  const tap = file(
    descriptor,
    packet(1_700_000_000_251, "C", CONTROL, "0000000000000000", 18),
    packet(1_700_000_000_300, "S", CONTROL, "0009010000000000"),
    packet(1_700_000_000_400, "S", BULK, "0000000000000000", 31),
    packet(1_700_000_000_500, "S", CONTROL, "0009000000000000"),
    // A class request of the same number.
    packet(1_700_000_000_600, "S", CONTROL, "2109010000000000"),
  );
  t.strictSame(readUsbTap(tap), [
    { atMs: 1_700_000_000_250, what: "ask" },
    { atMs: 1_700_000_000_300, what: "configure 1" },
    { atMs: 1_700_000_000_400, what: "data" },
    { atMs: 1_700_000_000_500, what: "configure 0" },
    { atMs: 1_700_000_000_600, what: "ask" },
  ]);
  t.equal(readUsbTap(file(descriptor).subarray(0, -1)).length, 0, "a record that is not whole is none");
  t.end();
});

test("a file of another kind is refused; an empty recording is not", (t) => {
  t.strictSame(readUsbTap(file()), []);
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(100), file().fill(1, 20, 24)])
    t.throws(() => readUsbTap(bytes), { code: "protocol.invalid" });
  t.end();
});
