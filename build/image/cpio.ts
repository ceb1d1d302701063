// Writer of cpio's "newc" format, which the kernel unpacks into its first file system (kernel:
// Documentation/driver-api/early-userspace/buffer-format.rst).

export type CpioEntry =
  | { readonly path: string; readonly type: "directory" }
  | { readonly path: string; readonly type: "link"; readonly target: string }
  | { readonly path: string; readonly type: "file"; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly path: string; readonly type: "device"; readonly major: number; readonly minor: number };

const S_IFDIR = 0o040_000;
const S_IFREG = 0o100_000;
const S_IFLNK = 0o120_000;
const S_IFCHR = 0o020_000;

/**
 * @param entries each directory before its content.
 * @returns the same bytes for the same entries: everything belongs to root and has the time 0.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const members = entries.map((entry, index) => member(entry, index + 1));
  return Buffer.concat([...members, record("TRAILER!!!", 0, 0, 1, Buffer.alloc(0))]);
}

function member(entry: CpioEntry, inode: number): Buffer {
  switch (entry.type) {
    case "directory":
      return record(entry.path, inode, S_IFDIR | 0o755, 2, Buffer.alloc(0));
    case "link":
      return record(entry.path, inode, S_IFLNK | 0o777, 1, Buffer.from(entry.target));
    case "file":
      return record(entry.path, inode, S_IFREG | entry.mode, 1, entry.bytes);
    case "device":
      return record(entry.path, inode, S_IFCHR | 0o600, 1, Buffer.alloc(0), [entry.major, entry.minor]);
  }
}

function record(
  path: string,
  inode: number,
  mode: number,
  links: number,
  bytes: Uint8Array,
  device: readonly [number, number] = [0, 0],
): Buffer {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, links, 0, bytes.byteLength, 0, 0, ...device, name.byteLength, 0];
  const head = `070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`;
  return padded(Buffer.concat([padded(Buffer.concat([Buffer.from(head), name])), bytes]));
}

/** Padded to the next multiple of four. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.byteLength % 4)) % 4)]);
}
