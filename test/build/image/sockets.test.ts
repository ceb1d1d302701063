// What of Debian's systemd a captured agent could speak to.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { CACHE } from "../../../build/image/paths.ts";
import { MASKED } from "../../../build/image/system.ts";

/** Everybody may write to the journal. */
const FOR_ALL = ["systemd-journald-dev-log.socket", "systemd-journald.socket"];

const made = await readdir(CACHE).catch(() => []);
const bases = made.filter((name) => name.startsWith("base-"));
const skip = bases.length === 0 && "no Debian base was made here yet: npm run image";

test("no socket that systemd opens for everybody leads to a service of root's", { skip }, async (t) => {
  for (const base of bases) {
    const units = join(CACHE, base, "device/usr/lib/systemd/system");
    for (const name of await readdir(join(units, "sockets.target.wants"))) {
      if (MASKED.includes(name) || FOR_ALL.includes(name)) continue;
      // systemd.socket(5): 0666 when left out; netlink is the kernel's
      const unit = await readFile(join(units, name), "utf8");
      if (/^ListenNetlink=/mu.test(unit)) continue;
      t.match(unit, /^SocketMode=0600$/mu, name);
    }
  }
});
