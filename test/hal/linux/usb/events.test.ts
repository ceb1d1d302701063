// The kernel's events as udevadm prints them, and udevadm itself.
import { existsSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { followEvents, linuxUsbEvents } from "../../../../hal/linux/usb/index.ts";
import type { UsbEvent } from "../../../../hal/ports.ts";
import type { TestContext } from "../../../lab/runner/context.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";

/** A folder that is there, as that of the USB bus is once its driver is loaded. */
const BUS_FOLDER = "/sys/bus";
const PREFACE = "monitor will print the received events for:\nKERNEL - the kernel uevent\n\n";
const BUS = "/devices/pci0000:00/0000:00:04.0";

/** As a Linux 6.12 sends it and udevadm 252 prints it. */
function event(changes: Readonly<Record<string, string | undefined>> = {}, header = "add"): string {
  const properties = {
    ACTION: "add",
    DEVPATH: `${BUS}/usb1/1-2`,
    SUBSYSTEM: "usb",
    DEVNAME: "/dev/bus/usb/001/005",
    DEVTYPE: "usb_device",
    PRODUCT: "951/1666/110",
    TYPE: "0/0/0",
    BUSNUM: "001",
    DEVNUM: "005",
    SEQNUM: "1527",
    MAJOR: "189",
    MINOR: "4",
    ...changes,
  };
  const lines = Object.entries(properties).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return `KERNEL[1353.203023] ${header}      ${properties.DEVPATH} (usb)\n${lines.join("\n")}\n\n`;
}

/** What is made of a program's output, and how following it ends. */
async function told(t: TestContext, text: string): Promise<{ listening: number; events: UsbEvent[]; ends: unknown }> {
  const file = join(await temporaryDirectory(t), "output");
  await writeFile(file, text);
  const found: { listening: number; events: UsbEvent[] } = { listening: 0, events: [] };
  const ends = await followEvents(["cat", file], BUS_FOLDER)
    .follow(
      { onListening: () => void (found.listening += 1), onEvent: (one) => void found.events.push(one) },
      new AbortController().signal,
    )
    .catch((error: unknown) => error);
  return { ...found, ends };
}

test("[LCK-70] devices and controllers that come and go are told, with what the kernel says of them", async (t) => {
  const { listening, events, ends } = await told(
    t,
    PREFACE +
      event() +
      event({ ACTION: "remove" }, "remove") +
      event({ DEVPATH: `${BUS}/usb2/2-1/2-1.4`, PRODUCT: "1d6b/2/612", DEVNUM: "127" }) +
      event({ DEVPATH: `${BUS}/usb3`, DEVNUM: "001" }),
  );
  t.equal(listening, 1);
  t.strictSame(events, [
    { what: "came", port: "1-2", number: 5, id: "0951:1666" },
    { what: "went", port: "1-2", number: 5, id: "0951:1666" },
    { what: "came", port: "2-1.4", number: 127, id: "1d6b:0002" },
    { what: "came", port: "usb3", number: 1, id: "0951:1666" },
  ]);
  t.match(ends, { code: "process.failed", message: /"cat" has ended \(code 0\)/u }, "a source that ends is a fault");
});

test("[LCK-70] what is no event of a device is passed over, and what is out of form is not believed", async (t) => {
  const { events } = await told(
    t,
    PREFACE +
      event({ DEVTYPE: "usb_interface", DEVPATH: `${BUS}/usb1/1-2/1-2:1.0` }) +
      event({ ACTION: "bind" }) +
      event({ ACTION: "change" }) +
      event({ SUBSYSTEM: "block" }) +
      event({ DEVPATH: `${BUS}/usb1/..` }) +
      event({ DEVPATH: undefined }) +
      "no property\n=\n\n\n" +
      Array.from({ length: 500 }, (_, n) => `K${n}=v\n`).join("") +
      "ACTION=add\n\n" +
      event({ PRODUCT: "951/zzzz/1", DEVNUM: "99999999999" }) +
      event().slice(0, -1),
  );
  t.strictSame(events, [{ what: "came", port: "1-2", number: undefined, id: undefined }], "an event that is not whole is none");
});

test("[LCK-70] a line without end stops the program, and so does the end of the watch", async (t) => {
  const { ends } = await told(t, `${PREFACE}ACTION=${"x".repeat(10_000)}\n`);
  t.match(ends, { code: "process.failed", message: /more than 4096 bytes/u });
  const ending = new AbortController();
  const following = followEvents(["sleep", "600"], BUS_FOLDER).follow(
    { onListening: () => undefined, onEvent: () => undefined },
    ending.signal,
  );
  ending.abort();
  await following;
  await t.rejects(
    followEvents(["/nonexistent/udevadm"], BUS_FOLDER).follow(
      { onListening: () => undefined, onEvent: () => undefined },
      ending.signal,
    ),
    { code: "process.failed" },
  );
});

test("[LCK-70] nothing is started while the kernel has no USB, nor for another tree than this machine's", async (t) => {
  const root = await temporaryDirectory(t);
  t.equal(linuxUsbEvents({ root }), undefined);
  const listener = { onListening: () => t.fail("nothing listens"), onEvent: () => undefined };
  // it would not end by itself
  await followEvents(["sleep", "600"], join(root, "sys/bus/usb")).follow(listener, new AbortController().signal);
  t.ok(linuxUsbEvents({ root: "/" }), "the driver of USB may be loaded later");
});

const SYNTHETIC = "/sys/class/mem/null/uevent";
const skip =
  needs("root", "udevadm") || (existsSync(SYNTHETIC) ? false : `needs a kernel that sends events asked for by ${SYNTHETIC}`);

test("[LCK-70] contract: udevadm prints a kernel's event at once, in the form that is read", { skip }, async (t) => {
  // No USB here: the kernel is asked for an event of another device, whose name is changed under
  // way.
  const edit = [
    "s,^DEVPATH=/devices/virtual/mem/null,DEVPATH=/devices/usb1/1-2,",
    "s,^SUBSYSTEM=mem,SUBSYSTEM=usb\\nDEVTYPE=usb_device\\nDEVNUM=007\\nPRODUCT=46f4/1/0,",
  ].flatMap((one) => ["-e", one]);
  const monitor = 'udevadm monitor --kernel --property --subsystem-match=mem | sed -u "$@"';
  const events: UsbEvent[] = [];
  const ending = new AbortController();
  const heard = Promise.withResolvers<void>();
  const following = followEvents(["sh", "-c", monitor, "sh", ...edit], BUS_FOLDER).follow(
    { onListening: () => heard.resolve(), onEvent: (one) => void events.push(one) },
    ending.signal,
  );
  await heard.promise;
  writeFileSync(SYNTHETIC, "add");
  writeFileSync(SYNTHETIC, "change");
  writeFileSync(SYNTHETIC, "remove");
  await eventually("two events are told", async () => (events.length >= 2 ? true : undefined));
  t.strictSame(events, [
    { what: "came", port: "1-2", number: 7, id: "46f4:0001" },
    { what: "went", port: "1-2", number: 7, id: "46f4:0001" },
  ]);
  ending.abort();
  await following;
});
