// Simulated boards: what is read, what is left out, and what is a fault.
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Test, test } from "tap";
import { linuxHardware } from "../../../../hal/linux/identity/index.ts";
import { buildBoard, boot } from "../../../lab/worlds/board.ts";
import { needs } from "../../../lab/runner/needs.ts";

const MAC = "00:00:5e:00:53:01";

function board(t: Test, attributes: Record<string, string | Uint8Array>): string {
  const root = t.testdir();
  for (const [path, value] of Object.entries(attributes)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), value);
  }
  return root;
}

/** An interface as sysfs shows it: a folder below its device, and a link in class/net. */
function network(
  root: string,
  device: string,
  name: string,
  attributes: Record<string, string>,
  options = { withDevice: true },
): void {
  const folder = join(root, "sys/devices", device, "net", name);
  for (const [attribute, value] of Object.entries(attributes)) {
    mkdirSync(dirname(join(folder, attribute)), { recursive: true });
    writeFileSync(join(folder, attribute), `${value}\n`);
  }
  if (options.withDevice) symlinkSync("../..", join(folder, "device"));
  mkdirSync(join(root, "sys/class/net"), { recursive: true });
  symlinkSync(`../../devices/${device}/net/${name}`, join(root, "sys/class/net", name));
}

test("[ID-1] serials come in the order product, board, chassis, device tree, trimmed and not judged", async (t) => {
  const root = board(t, {
    "sys/class/dmi/id/chassis_serial": "Default string\n",
    "sys/class/dmi/id/product_serial": "  SN-1 \n",
    "sys/class/dmi/id/board_serial": "0\n",
    "proc/device-tree/serial-number": "10000000abcdef01\0",
    "sys/class/dmi/id/product_name": "Gateway 2\n",
    "proc/device-tree/model": "Other\0",
  });
  const facts = await linuxHardware({ root }).facts();
  t.strictSame(facts.serials, ["SN-1", "0", "Default string", "10000000abcdef01"]);
  t.equal(facts.model, "Gateway 2");
  t.equal(facts.commissionedId, undefined);
});

test("a board without DMI and device tree has no serials, no model and no interfaces, and that is no fault", async (t) => {
  t.strictSame(await linuxHardware({ root: t.testdir() }).facts(), {
    commissionedId: undefined,
    serials: [],
    interfaces: [],
    model: undefined,
  });
});

test("[ID-2] an empty attribute is no value, and neither is one whose end is not known", async (t) => {
  const root = board(t, {
    "sys/class/dmi/id/product_serial": " \n",
    "proc/device-tree/serial-number": "\0",
    "sys/class/dmi/id/board_serial": "x".repeat(100_000),
    "sys/class/dmi/id/chassis_serial": "y".repeat(4095),
  });
  const { serials } = await linuxHardware({ root }).facts();
  t.strictSame(
    serials.map((serial) => serial.length),
    [4095],
  );
});

test("[ID-1] serials that differ behind an odd byte are different serials", async (t) => {
  const read = async (serial: Uint8Array): Promise<string | undefined> =>
    (await linuxHardware({ root: board(t, { "sys/class/dmi/id/product_serial": serial }) }).facts()).serials[0];
  const odd = (text: string): Buffer => Buffer.from(text, "latin1");
  const serials = [
    "GW2024\u00a0000341\n",
    "GW2024\u00a0000342\n",
    "Ger\u00e4t-00017\n",
    "Ger\u00e4t-00018\n",
    "A\u00ffB1\n",
    "A\u00ffB2\n",
    "GW\u00000001\0",
    "GW\u00000002\0",
    "GW\r0001\n",
    "GW\r0002\n",
    "GW\n0001\n",
    "GW\n0002\n",
    "GW\u001b[0001\n",
    "GW\u001b[0002\n",
    `${"GW".repeat(150)}1\n`,
    `${"GW".repeat(150)}2\n`,
  ];
  const found: (string | undefined)[] = [];
  for (const serial of serials) found.push(await read(odd(serial)));
  t.equal(new Set(found).size, serials.length, found.join(", "));
  t.notOk(found.some((serial) => serial === undefined || serial.length < 4));
  t.equal(await read(Buffer.from("Ger\u00e4t-1\n")), "Ger\u00e4t-1", "UTF-8 is read as such");
  t.equal(await read(odd("GW-7\u00ff\u00ff")), "GW-7", "erased flash behind it is not part of it");
});

test("[ID-1] the commissioned id is read from the start of an EEPROM, up to the erased part", async (t) => {
  for (const [content, expected] of [
    ["GW-7\n", "GW-7"],
    ["\ufeffGW-7\r\n", "GW-7"],
    [Buffer.concat([Buffer.from("GW-7"), Buffer.alloc(4092, 0xff)]), "GW-7"],
    [Buffer.concat([Buffer.from("GW-7\0"), Buffer.alloc(100, 7)]), "GW-7"],
    [Buffer.alloc(4096, 0xff), undefined],
    ["", undefined],
  ] as const) {
    const root = board(t, { "eeprom/nvmem": content });
    const facts = await linuxHardware({ root, commissionedIdFile: "eeprom/nvmem" }).facts();
    t.equal(facts.commissionedId, expected);
  }
  t.equal((await linuxHardware({ root: t.testdir(), commissionedIdFile: "none" }).facts()).commissionedId, undefined);
  const odd = board(t, { "boot/directory/file": "GW-7\n" });
  symlinkSync("directory/file", join(odd, "boot/link"));
  for (const commissionedIdFile of ["boot/directory", "boot/link"])
    t.equal((await linuxHardware({ root: odd, commissionedIdFile }).facts()).commissionedId, undefined, commissionedIdFile);
});

test("[ID-1] only built-in interfaces with a permanent MAC count, in the kernel's order", async (t) => {
  const root = t.testdir();
  const permanent = { address: MAC, addr_assign_type: "0" };
  network(root, "pci0000:00/0000:00:02.0", "wan", { ...permanent, address: "00:00:5E:00:53:09", ifindex: "2" });
  network(root, "pci0000:00/0000:00:01.0", "zlan", { ...permanent, ifindex: "1" });
  network(root, "platform/soc/mmc1", "wlan0", { ...permanent, address: "00:00:5e:00:53:0a", ifindex: "10" });
  network(root, "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0", "enx1", { ...permanent, ifindex: "3" });
  network(root, "platform/soc/usb.0/udc/usb.0/gadget.0", "usb0", { ...permanent, ifindex: "4" });
  network(root, "virtual", "br0", { ...permanent, ifindex: "5" }, { withDevice: false });
  network(root, "platform/random", "eth5", { address: MAC, addr_assign_type: "1", ifindex: "6" });
  network(root, "platform/set", "eth6", { address: MAC, addr_assign_type: "3", ifindex: "7" });
  network(root, "platform/unsaid", "eth7", { address: MAC, ifindex: "8" });
  network(root, "platform/can", "can0", { address: "", addr_assign_type: "0", ifindex: "9" });
  network(root, "platform/ib", "ib0", { address: `${MAC}:${MAC}`, addr_assign_type: "0", ifindex: "11" });
  network(root, "platform/bond", "eth8", {
    address: "02:00:00:00:00:01",
    addr_assign_type: "3",
    "bonding_slave/perm_hwaddr": "00:00:5e:00:53:0b",
    ifindex: "12",
  });
  writeFileSync(join(root, "sys/class/net/bonding_masters"), "bond0\n");
  t.strictSame((await linuxHardware({ root }).facts()).interfaces, [
    { name: "zlan", mac: MAC },
    { name: "wan", mac: "00:00:5e:00:53:09" },
    { name: "wlan0", mac: "00:00:5e:00:53:0a" },
    { name: "eth8", mac: "00:00:5e:00:53:0b" },
  ]);
});

test("a board whose own folder is named like a USB bus still has built-in interfaces", async (t) => {
  const root = join(t.testdir(), "usb1/board");
  network(root, "pci0000:00/0000:00:01.0", "eth0", { address: MAC, addr_assign_type: "0", ifindex: "1" });
  t.strictSame((await linuxHardware({ root }).facts()).interfaces, [{ name: "eth0", mac: MAC }]);
});

test("the simulated board of the lab is read as it was built", async (t) => {
  const { root } = await buildBoard({ directory: t.testdir(), serial: "SPG2-1", mac: MAC });
  const hardware = linuxHardware({ root });
  const facts = await hardware.facts();
  t.equal(facts.serials[0], "SPG2-1");
  t.strictSame(
    facts.interfaces.map(({ name }) => name),
    ["eth0", "eth1"],
  );
  const first = await hardware.bootId();
  t.equal(await hardware.bootId(), first);
  t.equal(await boot(root), await hardware.bootId());
  t.not(await hardware.bootId(), first, "another boot, another id");
});

test("a missing or malformed boot id is a fault: the machine's own is not taken for the board's", async (t) => {
  await t.rejects(linuxHardware({ root: t.testdir() }).bootId(), { code: "file.read-failed", message: /there is none/ });
  const root = board(t, { "proc/sys/kernel/random/boot_id": "today\n" });
  await t.rejects(linuxHardware({ root }).bootId(), { code: "file.read-failed", message: /"today" is not a UUID/ });
});

test("[ID-3] a serial that exists and cannot be read is a fault: skipping it would choose another id", async (t) => {
  const root = board(t, { "sys/class/dmi/id/product_serial/x": "", "sys/class/dmi/id/board_serial": "SN-1\n" });
  await t.rejects(linuxHardware({ root }).facts(), { code: "file.read-failed", message: /EISDIR/ });
  if (process.geteuid?.() === 0) return; // root may read files of any mode
  rmSync(join(root, "sys/class/dmi/id/product_serial"), { recursive: true });
  chmodSync(join(root, "sys/class/dmi/id/board_serial"), 0);
  await t.rejects(linuxHardware({ root }).facts(), { code: "file.read-failed", message: /EACCES/ });
});

test("this machine has a boot id, and root can read its facts", { skip: needs("root") }, async (t) => {
  const hardware = linuxHardware({ root: "/" });
  t.match(await hardware.bootId(), /^[0-9a-f-]{36}$/);
  t.ok(Array.isArray((await hardware.facts()).serials));
});
