// Runs inside the virtual gateway as its only program: it writes a state file repeatedly as our
// programs do, and reports each write. `put FROM TO [without-file-sync | without-directory-sync]`
// writes number after number; `get` prints the number that is there.
import { assert } from "../../../../hal/fault.ts";
import { linuxFiles, linuxOps } from "../../../../hal/linux/files/index.ts";
import type { FileOps, OpenFile } from "../../../../hal/linux/files/ops.ts";

const BYTES = 20_000;
const DIRECTORY = "/state";
const NAME = "record.json";

const [verb, from, to, without] = process.argv.slice(2);
const files = await linuxFiles(DIRECTORY, lacking(without));
if (verb === "get") {
  const bytes = await files.get(NAME, 2 * BYTES);
  const text = bytes === undefined ? "" : Buffer.from(bytes).toString("latin1");
  const number = /^(\d+) /u.exec(text)?.[1] ?? "none";
  console.log(`got ${number} ${text === content(Number(number)) ? "whole" : `broken, ${text.length} bytes`}`);
} else if (verb === "put") {
  for (let number = Number(from); number <= Number(to); number += 1) {
    await files.put(NAME, Buffer.from(content(number)));
    console.log(`put ${number}.`);
  }
}

function content(number: number): string {
  return `${number} `.padEnd(BYTES, `${number}.`);
}

/** The same file system calls without one kind of fsync. */
function lacking(what: string | undefined): FileOps {
  assert(what === undefined || what === "without-file-sync" || what === "without-directory-sync", "a known way to spoil it");
  const spoil = (file: OpenFile): OpenFile => ({
    read: (buffer, offset, length, position) => file.read(buffer, offset, length, position),
    write: (buffer, offset, length, position) => file.write(buffer, offset, length, position),
    truncate: (length) => file.truncate(length),
    chmod: (mode) => file.chmod(mode),
    stat: () => file.stat(),
    close: () => file.close(),
    sync: async () => {
      const isDirectory = (await file.stat()).isDirectory();
      if (what === (isDirectory ? "without-directory-sync" : "without-file-sync")) return;
      await file.sync();
    },
  });
  return { ...linuxOps, open: async (path, flags, mode) => spoil(await linuxOps.open(path, flags, mode)) };
}
