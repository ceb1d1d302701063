// The traffic between a machine and one of its USB devices, as QEMU records it: a pcap file
// (https://wiki.wireshark.org/Development/LibpcapFileFormat) of packets in the format of the
// kernel's usbmon (Documentation/usb/usbmon.rst, link type 220). It shows what was asked of a
// device, independently of what the machine reports.
import { Fault } from "../../../hal/fault.ts";

const FILE_BYTES = 24;
const RECORD_BYTES = 16;
const PACKET_BYTES = 64;
const LINK_TYPE = 220;
const SUBMITTED = "S".charCodeAt(0);
const CONTROL = 2;
/** USB 2.0 specification, table 9-4. */
const STANDARD_TO_DEVICE = 0x00;
const SET_CONFIGURATION = 9;

export interface UsbAsked {
  /** By this machine's clock. */
  readonly atMs: number;
  /**
   * `configure N` (with N 0 undone) is SET_CONFIGURATION, without which a device has no interfaces;
   * `ask` is any other control transfer; `data` one at an end point of an interface.
   */
  readonly what: "ask" | "data" | `configure ${number}`;
}

/**
 * @returns the machine's requests, in order. An incomplete record ends the list.
 * @throws Fault `protocol.invalid` when it is no such file.
 */
export function readUsbTap(file: Uint8Array): readonly UsbAsked[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < FILE_BYTES || view.getUint32(0, true) !== 0xa1b2c3d4 || view.getUint32(20, true) !== LINK_TYPE)
    throw new Fault("protocol.invalid", "read a recording of USB traffic: it is no pcap file of usbmon's packets");
  const asked: UsbAsked[] = [];
  for (let at = FILE_BYTES; at + RECORD_BYTES + PACKET_BYTES <= file.byteLength;) {
    const packet = at + RECORD_BYTES;
    const atMs = view.getUint32(at, true) * 1000 + view.getUint32(at + 4, true) / 1000;
    if (view.getUint8(packet + 8) === SUBMITTED) asked.push({ atMs, what: whatIn(view, packet) });
    at = packet + view.getUint32(at + 8, true);
  }
  return asked;
}

function whatIn(view: DataView, packet: number): UsbAsked["what"] {
  if (view.getUint8(packet + 9) !== CONTROL) return "data";
  const setup = packet + 40;
  const configures = view.getUint8(setup) === STANDARD_TO_DEVICE && view.getUint8(setup + 1) === SET_CONFIGURATION;
  return configures ? `configure ${view.getUint16(setup + 2, true)}` : "ask";
}
