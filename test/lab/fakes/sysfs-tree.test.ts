// A tree that is written to a folder and recorded again is the same tree.
import { test } from "tap";
import { layOut, shapeOf, type SysfsTree, usbEntries } from "./sysfs-tree.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import { readUsbTree, USB_TREES } from "./usb-fixture.ts";

/**
 * Without permissions, and without what could not be read: the folder of a test belongs to the
 * test.
 */
function contents(entries: SysfsTree["entries"]): readonly string[] {
  return Object.entries(entries).map(([path, entry]) => {
    if ("link" in entry) return `${path} -> ${entry.link}`;
    return `${path} ${"error" in entry ? "" : "text" in entry ? entry.text : entry.base64}`;
  });
}

test("a recorded tree can be written to a folder, to the last byte", async (t) => {
  for (const name of USB_TREES) {
    const [root, tree] = [await temporaryDirectory(t), readUsbTree(name)];
    layOut(tree, root);
    t.strictSame(contents(usbEntries(root)), contents(tree.entries));
  }
});

test("another form, place or permission is another shape; another number or bus address is not", (t) => {
  const at = "devices/pci0000:00/0000:00:04.0/usb1";
  const shape = (path: string, entry: SysfsTree["entries"][string]): readonly string[] => shapeOf({ entries: { [path]: entry } });
  const known = shape(`${at}/authorized_default`, { mode: "644", text: "0\n" });
  t.strictSame(shape("devices/pci0000:00/0000:00:1f.3/usb1/authorized_default", { mode: "644", text: "2\n" }), known);
  for (const [path, entry] of [
    [`${at}/authorized_default`, { mode: "644", text: "none\n" }],
    [`${at}/authorized_default`, { mode: "444", text: "0\n" }],
    [`${at}/authorized_default`, { mode: "644", error: "EPERM" }],
    [`${at}/authorized_default`, { link: "../usb2" }],
    [`${at}/authorised_default`, { mode: "644", text: "0\n" }],
  ] as const)
    t.notSame(shape(path, entry), known);
  t.end();
});
