// Settings of the device's kernel that other claims rest on.
import { readFileSync } from "node:fs";
import { test } from "tap";

const FILE = "build/image/root/usr/lib/sysctl.d/60-sallyport.conf";

test("[OTA-32] the image lets no user make or follow a link that leads to another user's file", async (t) => {
  const lines = readFileSync(FILE, "utf8").split("\n");
  for (const line of ["fs.protected_hardlinks = 1", "fs.protected_symlinks = 1", "fs.protected_fifos = 2"])
    t.ok(lines.includes(line), line);
  const set = lines.filter((line) => line.startsWith("fs.protected_"));
  t.equal(new Set(set.map((line) => line.replace(/ =.*$/u, ""))).size, set.length, "each is set once");
});
