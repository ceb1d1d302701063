// The virtual gateway's own verbs, on nothing but firmware: an empty disk ends in the UEFI shell, which can type back.
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { makeGateway, type UsbDevice } from "../lab/gateway/index.ts";
import { needs } from "../lab/needs.ts";
import { temporaryDirectory } from "../lab/temporary.ts";

const SHELL_MS_MAX = 120_000;

test(
  "the firmware comes up, is typed to, plugged into, cut and comes up again",
  { skip: needs("qemu", "swtpm"), timeout: 300_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const image = join(directory, "empty.img");
    await writeFile(image, "");
    await truncate(image, 64 * 1024 * 1024);
    const gateway = await makeGateway({ image, serialNumber: "GW-TEST-7" });
    t.teardown(() => gateway.stop());

    const keyboard: UsbDevice = { id: "keys", kind: "keyboard" };
    await gateway.powerOn([keyboard]);
    await gateway.waitFor(/any other key to continue/u, SHELL_MS_MAX);
    gateway.type("\r");
    await gateway.waitFor(/Shell> /u, SHELL_MS_MAX);
    gateway.type("echo it-%lasterror%-types\r");
    await gateway.waitFor(/it-0x0-types/u, 20_000);

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
