// The choice of the device id as a table: what boards report, and the id that follows.
import { createHash } from "node:crypto";
import { test } from "tap";
import type { HardwareFacts } from "../../../hal/format/identity.ts";
import { chooseIdentity } from "../../../warden/identity/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const NIC = { name: "eth0", mac: "00:1b:21:0a:00:10" };
const BOARD: HardwareFacts = { commissionedId: undefined, serials: [], interfaces: [], model: undefined };

const hashed = (text: string): string => `h-${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;

test("[ID-1] the order is commissioned id, serial, MAC; a text that does not fit is hashed", async (t) => {
  const table: readonly [string, Partial<HardwareFacts>, string, string][] = [
    [
      "commissioned before serial",
      { commissionedId: "plant-7.line_2", serials: ["SN1"], interfaces: [NIC] },
      "plant-7.line_2",
      "commissioned",
    ],
    ["serial before MAC", { serials: ["GW-4711"], interfaces: [NIC] }, "GW-4711", "serial"],
    ["first usable serial", { serials: ["Default string", "BRD-9"] }, "BRD-9", "serial"],
    [
      "MAC, 12 hex digits, lower case",
      { serials: ["None"], interfaces: [{ name: "eth0", mac: "00:1B:21:0A:00:10" }] },
      "001b210a0010",
      "mac",
    ],
    ["spaces around are not part of it", { serials: ["  GW-4711 \n"] }, "GW-4711", "serial"],
    ["64 characters fit", { serials: ["A".repeat(63) + "b"] }, "A".repeat(63) + "b", "serial"],
    ["65 do not", { serials: ["A".repeat(64) + "b"] }, hashed("A".repeat(64) + "b"), "hash"],
    ["a slash does not fit a topic", { serials: ["GW/4711"] }, hashed("GW/4711"), "hash"],
    ["a leading sign could be read as an option", { serials: ["-rf 4711"] }, hashed("-rf 4711"), "hash"],
    ["a wildcard of MQTT", { serials: ["GW+4711#"] }, hashed("GW+4711#"), "hash"],
    ["not ASCII", { serials: ["Gerät-4711"] }, hashed("Gerät-4711"), "hash"],
    ["a commissioned id that does not fit is hashed too", { commissionedId: "plant 7" }, hashed("plant 7"), "hash"],
    ["an erased EEPROM is no commissioned id", { commissionedId: "ffffffffffffffff", serials: ["GW-4711"] }, "GW-4711", "serial"],
  ];
  for (const [what, facts, id, source] of table) t.match(chooseIdentity({ ...BOARD, ...facts }), { id, source }, what);
});

test("[ID-1] of several MACs the lowest is taken, in any order of discovery", async (t) => {
  const other = { name: "eth1", mac: "00:1b:21:0a:00:11" };
  t.equal(chooseIdentity({ ...BOARD, interfaces: [NIC, other] }).id, "001b210a0010");
  t.equal(chooseIdentity({ ...BOARD, interfaces: [other, NIC] }).id, "001b210a0010");
});

const PLACEHOLDERS = [
  "BIOS Serial",
  "Not Initialized",
  "None Provided",
  "Unspecified System Serial",
  "Please fill by OEM",
  "S/N: 0000",
  "SN0000000000",
  "0x00000000",
  "Evaluation Board",
  "",
  " ",
  "0",
  "00000000",
  "0000-0000",
  "xxxxxxxx",
  "FFFFFFFF",
  "...........",
  "Default string",
  "default  string",
  "To be filled by O.E.M.",
  "To Be Filled By O.E.M",
  "TO BE FILLED BY OEM",
  "System Serial Number",
  "Base Board Serial Number",
  "Chassis Serial Number",
  "Type2 - Board Serial Number",
  "Not Specified",
  "Not Applicable",
  "Not Available",
  "Not Set",
  "None",
  "none",
  "N/A",
  "NA",
  "n.a.",
  "Null",
  "Unknown",
  "Undefined",
  "OEM",
  "O.E.M.",
  "INVALID",
  "Serial",
  "SN",
  "sernum0",
  "123456789",
  "0123456789",
  "1234567890",
  "12345",
  "01234567",
  "0123456789ABCDEF",
  "MB-1234567890",
  "03000200-0400-0500-0006-000700080009",
  "No Asset Tag",
  "Test",
  "System",
  "Not Used",
  "Not Provided",
  "No Enclosure",
  "Chassis ID",
  "TBD",
  "dummy",
  "Generic",
  "INVALID SERIAL",
  "9876543210",
  "987654321",
  "Null string",
  "SKU Number",
  "System Product Name",
  "Not Supported",
  "<BAD INDEX>",
  "Empty String",
  "System SN",
  "Engineering Sample",
  "Base Board Serial",
  "ABCDEFGH",
  "No S/N",
  "System manufacturer",
  "Not Implemented",
  "Mainboard SN",
  "<OUT OF SPEC>",
  "Enter Serial",
  "Value not set",
  "Read Error",
  "ODM",
  "87654321",
  "54321",
  "11223344",
  "00112233-4455-6677-8899-aabbccddeeff",
];

test("[ID-2] placeholder serials never become an id", async (t) => {
  for (const serial of PLACEHOLDERS) {
    t.equal(chooseIdentity({ ...BOARD, serials: [serial], interfaces: [NIC] }).source, "mac", `"${serial}"`);
    t.equal(
      chooseIdentity({ ...BOARD, serials: [serial], interfaces: [NIC] }).boardSerial,
      undefined,
      `"${serial}" is no serialNumber either`,
    );
  }
});

test("[ID-2] real serials that resemble placeholders become an id", async (t) => {
  for (const id of [
    "1234",
    "SN4711",
    "OEM-7731",
    "0001",
    "SN-0001",
    "BOARD7",
    "Test0010",
    "SNDEFAULTX1",
    "NONE-1",
    "5CD1234X5Z",
    "VMware-56.4d.1a",
    "98765",
    "GW-987654321x",
    "00112",
    "9876",
    "1122334",
    "VENDOR-7",
    "QEMU12",
    "BASE1",
    "INNOVA",
  ])
    t.equal(chooseIdentity({ ...BOARD, serials: [id] }).id, id);
});

test("[ID-2] MACs that do not belong to one interface never become an id and never reach the CSR", async (t) => {
  for (const mac of [
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:01",
    "33:33:00:00:00:01",
    "02:00:5e:10:00:01",
    "fe:54:00:12:34:56",
    "00:11:22:33:44:55",
    "00:03:7f:11:23:c6",
    "00:02:03:04:05:06",
    "00:11:7f:13:36:36",
    "00:08:dc:ab:cd:ef",
    "08:00:27:00:01:92",
    "88:88:88:88:87:88",
    "00:e0:4c:68:00:01",
    "88:88:88:88:88:88",
    "88:88:88:88:88:87",
    "00:00:00:00:00:01",
    "00:00:5e:00:53:17",
    "00:04:9f:00:00:01",
    "00:1a:2b:3c:4d:5e",
    "00:01:23:45:67:89",
    "a8:bb:cc:dd:ee:ff",
    "00:1b:21:12:34:56",
    "00:1b:21:FF:FF:FF",
    "no mac",
  ]) {
    const { id, macs } = chooseIdentity({ ...BOARD, interfaces: [{ name: "eth0", mac }, NIC] });
    t.same([id, macs], ["001b210a0010", [NIC.mac]], mac);
  }
});

test("[ID-3] without a usable source the warden reports it and makes no identity", async (t) => {
  const fault = await faultOf(() =>
    chooseIdentity({ ...BOARD, serials: ["Default string"], interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01" }] }),
  );
  t.equal(fault.code, "identity.no-source");
  t.match(fault.message, /commission the device/u, "and says what to do");
});

test("[ID-1] the further members of the CSR are bounded: a serial of 64 printable characters, 16 MACs", async (t) => {
  const interfaces = Array.from({ length: 20 }, (_, n) => ({ name: `eth${n}`, mac: `00:1b:21:0a:01:${(n + 16).toString(16)}` }));
  const identity = chooseIdentity({ ...BOARD, serials: ["é-4711"], interfaces, model: "M".repeat(300) });
  t.equal(identity.boardSerial, undefined);
  t.equal(identity.macs.length, 16);
  t.equal(identity.model?.length, 128);
  t.equal(chooseIdentity({ ...BOARD, serials: ["GW 4711"] }).boardSerial, "GW 4711", "as read, although the id is a hash");
});
