// The virtual gateway's own methods, with nothing but firmware: an empty disk ends in the UEFI
// shell, which can type back.
import { readdir, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { openGateway } from "../lab/gateway/gateway.ts";
import type { UsbDevice } from "../lab/gateway/usb.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const SHELL_MS_MAX = 120_000;

test(
  "the firmware boots, takes keys and a USB device, is cut and boots again",
  { skip: needs("qemu", "swtpm"), timeout: 300_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const image = join(directory, "empty.img");
    await writeFile(image, "");
    await truncate(image, 64 * 1024 * 1024);
    const gateway = await openGateway({ image, serialNumber: "GW-TEST-7" });
    t.teardown(() => gateway.stop());

    const keyboard: UsbDevice = { id: "keys", kind: "keyboard" };
    await gateway.powerOn([keyboard]);
    await gateway.waitFor(/any other key to continue/u, SHELL_MS_MAX);
    gateway.type("\r");
    await gateway.waitFor(/Shell> /u, SHELL_MS_MAX);
    gateway.type("echo it-%lasterror%-types\r");
    await gateway.waitFor(/it-0x0-types/u, 20_000);
    gateway.type("echo once-%lasterror%\r");
    let said = "";
    await eventually("it is read", async () => (said += gateway.read()).includes("once-0x0") || undefined);
    t.notMatch(said, "types", "text that was waited for is not read again");

    const stick: UsbDevice = { id: "stick", kind: "stick" };
    await gateway.plug(stick);
    await gateway.unplug(stick);
    await gateway.unplug(keyboard);

    gateway.type("smbiosview -t 1\r");
    await gateway.waitFor(/GW-TEST-7/u, 20_000);
    await gateway.cut();
    await t.rejects(gateway.waitFor(/Shell>/u, 5000), { code: "process.failed" }, "the line is dead");

    await gateway.powerOn();
    await gateway.waitFor(/any other key to continue/u, SHELL_MS_MAX);
    gateway.type("\r");
    await gateway.waitFor(/Shell> /u, SHELL_MS_MAX);
    gateway.type("reset -s\r");
    await gateway.waitForPowerOff(20_000);
  },
);

test(
  "a disk that breaks is reported at once by every wait, and by the stop",
  { skip: needs("qemu"), timeout: 300_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const image = join(directory, "empty.img");
    await writeFile(image, "");
    await truncate(image, 64 * 1024 * 1024);
    const gateway = await openGateway({ image, tpm: false, processors: 1 });
    t.teardown(() => gateway.stop());
    const why = { code: "assert.broken", message: /an image is as long as it was when opened/u };
    await gateway.powerOn();
    await truncate(image, 0); // What the firmware reads next is missing.
    const waits: readonly Promise<unknown>[] = [
      gateway.waitFor(/never said/u, SHELL_MS_MAX),
      gateway.log.waitFor(/never said/u, SHELL_MS_MAX),
      gateway.waitForPowerOff(SHELL_MS_MAX),
      gateway.waitForEvent("SHUTDOWN", SHELL_MS_MAX),
    ];
    await Promise.all(waits.map((wait) => t.rejects(async () => void (await wait), why)));
    t.match(await gateway.broken, why);
    t.match(gateway.transcript(), /-- the disk is broken: /u);
    await t.rejects(gateway.cut(), why);
    await t.rejects(gateway.powerOn(), why);
    await t.rejects(gateway.stop(), why);
  },
);

test("a gateway whose image is missing or no disk is refused, and leaves nothing behind", { skip: needs("qemu") }, async (t) => {
  const directory = await temporaryDirectory(t);
  const image = join(directory, "image");
  const left = async (): Promise<readonly string[]> =>
    (await readdir(tmpdir())).filter((name) => name.includes(`-${process.pid}-`) && name.startsWith("gateway-"));
  await t.rejects(openGateway({ image }), { code: "file.read-failed" }, "missing");
  await writeFile(image, "half a sector");
  await t.rejects(openGateway({ image }), { code: "file.read-failed" }, "no disk");
  t.same(await left(), []);
});
