// What of Debian's systemd a captured agent could speak to.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { MASKED } from "../../../build/image/system.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";

const skip = await needsBase();

/** Everybody may write to the journal. */
const FOR_ALL = ["systemd-journald-dev-log.socket", "systemd-journald.socket"];

test("no socket that systemd opens for everybody leads to a service of root's", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const units = join(device, "usr/lib/systemd/system");
  for (const name of await readdir(join(units, "sockets.target.wants"))) {
    if (MASKED.includes(name) || FOR_ALL.includes(name)) continue;
    // systemd.socket(5): 0666 when left out; netlink is the kernel's
    const unit = await readFile(join(units, name), "utf8");
    if (/^ListenNetlink=/mu.test(unit)) continue;
    t.match(unit, /^SocketMode=0600$/mu, name);
  }
});
