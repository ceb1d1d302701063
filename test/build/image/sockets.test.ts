// The sockets of Debian's systemd that a captured agent could use.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { MASKED } from "../../../build/image/system.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";

const skip = await needsBase();

/** Every user may write to the journal. */
const FOR_ALL = ["systemd-journald-dev-log.socket", "systemd-journald.socket"];

test("no socket that systemd opens for every user leads to a service of root", { skip }, async (t) => {
  const { device } = await debianBase((line) => t.comment(line));
  const units = join(device, "usr/lib/systemd/system");
  for (const name of await readdir(join(units, "sockets.target.wants"))) {
    if (MASKED.includes(name) || FOR_ALL.includes(name)) continue;
    // systemd.socket(5): the default mode is 0666; netlink belongs to the kernel.
    const unit = await readFile(join(units, name), "utf8");
    if (/^ListenNetlink=/mu.test(unit)) continue;
    t.match(unit, /^SocketMode=0600$/mu, name);
  }
});
