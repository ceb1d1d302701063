// A part of sysfs as data: recorded from a real kernel, stored in test/fixtures, and written to a
// folder for tests on machines without such hardware.
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { errnoOf } from "../../../hal/linux/files/index.ts";

/** An entry. Folders are not listed: their entries are. */
const entrySchema = v.union([
  /** The target of a symbolic link, from readlink(2). */
  v.strictObject({ link: v.string() }),
  /**
   * An attribute: the result of read(2), as text when it is ASCII; `error` when it failed.
   * Permissions in octal.
   */
  v.strictObject({ mode: v.string(), text: v.string() }),
  v.strictObject({ mode: v.string(), base64: v.string() }),
  v.strictObject({ mode: v.string(), error: v.string() }),
]);
export type SysfsEntry = v.InferOutput<typeof entrySchema>;

export const sysfsTreeSchema = v.strictObject({
  v: v.literal(1),
  /** The kernel's version, and its command line. */
  kernel: v.string(),
  commandLine: v.string(),
  /** By path below /sys, sorted. */
  entries: v.record(v.string(), entrySchema),
});
export type SysfsTree = v.InferOutput<typeof sysfsTreeSchema>;

const ENTRIES_MAX = 4000;
const USB_FOLDER = /^(?:usb\d+|\d+-[\d.]+|\d+-[\d.]+:\d+\.\d+|(?:usb\d+|\d+-[\d.]+)-port\d+|ep_[0-9a-f]{2})$/u;
/** It changes by itself, or belongs to the driver that took an interface. */
const VOLATILE = new Set(["power", "urbnum", "uevent", "connected_duration", "active_duration"]);

/**
 * Everything that the kernel shows of USB, and which kernel it is.
 * @throws as {@link usbEntries}.
 */
export function recordUsb(root: string): SysfsTree {
  const read = (path: string): string => readFileSync(join(root, path), "utf8").trim();
  return { v: 1, kernel: read("proc/sys/kernel/osrelease"), commandLine: read("proc/cmdline"), entries: usbEntries(root) };
}

/**
 * The devices below `root` (`/`), each with its interfaces, ports and end points.
 * @throws Fault `usb.unreadable` when the tree has no end.
 */
export function usbEntries(root: string): SysfsTree["entries"] {
  const sys = realpathSync(join(root, "sys"));
  const entries = new Map<string, SysfsEntry>();
  const keep = (path: string, entry: SysfsEntry): void => {
    if (entries.size >= ENTRIES_MAX) throw new Fault("usb.unreadable", `record "${sys}": more than ${ENTRIES_MAX} entries`);
    entries.set(relative(sys, path), entry);
  };
  const walk = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      if (VOLATILE.has(name)) continue;
      const path = join(folder, name);
      const stat = lstatSync(path);
      if (stat.isSymbolicLink()) keep(path, { link: readlinkSync(path) });
      else if (stat.isFile()) keep(path, attribute(path, stat.mode));
      else if (USB_FOLDER.test(name)) walk(path);
    }
  };
  const list = join(sys, "bus/usb/devices");
  for (const name of readdirSync(list)) {
    const path = join(list, name);
    keep(path, { link: readlinkSync(path) });
    if (name.startsWith("usb")) walk(realpathSync(path));
  }
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function attribute(path: string, bits: number): SysfsEntry {
  const mode = (bits & 0o777).toString(8);
  try {
    const bytes = readFileSync(path);
    return bytes.every((byte) => byte === 10 || (byte >= 32 && byte < 127))
      ? { mode, text: bytes.toString("latin1") }
      : { mode, base64: bytes.toString("base64") };
  } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    return { mode, error: code };
  }
}

/** Makes `root`/sys out of it. What could not be read becomes an empty file. */
export function layOut({ entries }: SysfsTree, root: string): void {
  for (const [path, entry] of Object.entries(entries)) {
    const at = join(root, "sys", path);
    mkdirSync(dirname(at), { recursive: true });
    if ("link" in entry) symlinkSync(entry.link, at);
    else writeFileSync(at, contentOf(entry), { mode: 0o644 });
  }
}

function contentOf(entry: Exclude<SysfsEntry, { link: string }>): string | Buffer {
  if ("text" in entry) return entry.text;
  return "base64" in entry ? Buffer.from(entry.base64, "base64") : "";
}

/**
 * What must be the same on every kernel that our code runs on, a line each: names, links,
 * permissions, and the form of each value.
 */
export function shapeOf({ entries }: Pick<SysfsTree, "entries">): readonly string[] {
  const place = (path: string): string => path.replaceAll(/\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d\b/gu, "PCI");
  return Object.entries(entries).map(
    ([path, entry]) => `${place(path)} ${"link" in entry ? `-> ${place(entry.link)}` : formOf(entry)}`,
  );
}

function formOf(entry: Exclude<SysfsEntry, { link: string }>): string {
  if ("error" in entry) return `${entry.mode} ${entry.error}`;
  if ("base64" in entry) return `${entry.mode} bytes`;
  const { mode, text } = entry;
  if (/^\s*\d+\n$/u.test(text)) return `${mode} decimal`;
  if (/^(?:0x)?[0-9a-f]+\n$/u.test(text)) return `${mode} hexadecimal`;
  return `${mode} ${text.trim() === "" ? "empty" : "words"}`;
}
