// Power and uptime of a simulated board. The machine of the test is not touched.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { linuxPower, linuxUptime } from "../../../hal/linux/index.ts";
import { boot } from "../../lab/worlds/board.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("a simulated board's reboot is a request in a file, one printable line with the reason", async (t) => {
  const root = await temporaryDirectory(t);
  await linuxPower({ root }).reboot("try os/2\nrm -rf /");
  t.equal(await readFile(join(root, "run/reboot-request"), "utf8"), "try os/2?rm -rf /\n");
});

test("a reboot that cannot be requested is a fault that says so", async (t) => {
  const root = await temporaryDirectory(t);
  await writeFile(join(root, "run"), "no directory");
  await t.rejects(linuxPower({ root }).reboot("try os/2"), { code: "power.failed", message: /try os\/2/u });
});

test("uptime starts anew with each boot; on a machine it is the kernel's", async (t) => {
  const root = await temporaryDirectory(t);
  await mkdir(join(root, "proc"), { recursive: true });
  await t.rejects(linuxUptime(root), { code: "file.read-failed" });
  await boot(root);
  const first = await linuxUptime(root);
  t.ok(first >= 0 && first < 60_000);
  t.ok((await linuxUptime("/")) > 0);
});
