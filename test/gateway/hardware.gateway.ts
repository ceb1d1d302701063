// What a real kernel sees of the virtual gateway: its board, TPM, USB ports, network and both serial lines.
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "tap";
import { makeGateway, type UsbDevice } from "../lab/gateway/index.ts";
import { makeProbeImage } from "../lab/gateway/probe/image.ts";
import { needs } from "../lab/needs.ts";
import { temporaryDirectory } from "../lab/temporary.ts";

const BOOT_MS_MAX = 180_000;
const STEP_MS_MAX = 60_000;
const HUB_PORT = 8080;

test("a kernel sees the machine", { skip: needs("qemu", "image", "swtpm"), timeout: 600_000 }, async (t) => {
  const directory = await temporaryDirectory(t);
  const image = join(directory, "probe.img");
  await makeProbeImage(image, directory);
  const hub = createServer((request, response) => response.end(`page ${request.url}`));
  await new Promise<void>((resolve) => hub.listen(0, "127.0.0.1", resolve));
  t.teardown(() => hub.close());
  const address = hub.address();
  const to = typeof address === "object" && address !== null ? address.port : 0;
  const gateway = await makeGateway({
    image,
    serialNumber: "GW-TEST-8",
    mac: "52:54:00:5a:11:08",
    forwards: [{ port: HUB_PORT, to }],
  });
  t.teardown(() => gateway.stop());
  const ask = async (words: string, answer: RegExp): Promise<string> => {
    gateway.type(`look ${words}\n`);
    const [found] = await gateway.waitFor(answer, STEP_MS_MAX);
    await gateway.waitFor(/probe ready/u, STEP_MS_MAX);
    return found;
  };
  /** The kernel needs a moment to see what was plugged. */
  const usbBecomes = async (wanted: string): Promise<void> => {
    for (let tries = 0; tries < 5; tries += 1) if ((await ask("usb", /usb \[.*\]/u)) === wanted) return;
    t.fail(`expected ${wanted}`);
  };

  const keyboard: UsbDevice = { id: "keys", kind: "keyboard" };
  const stick: UsbDevice = { id: "stick", kind: "stick" };
  await gateway.powerOn([keyboard]);
  await gateway.waitFor(/probe ready/u, BOOT_MS_MAX);
  t.match(gateway.log.all(), /probe log/u);
  t.equal(await ask("board", /board .*\./u), "board GW-TEST-8 mac 52:54:00:5a:11:08 tpm true.");
  await usbBecomes("usb [03]");
  await gateway.plug(stick);
  await usbBecomes("usb [03 08]");
  await gateway.unplug(keyboard);
  await usbBecomes("usb [08]");
  await gateway.unplug(stick);
  await usbBecomes("usb []");
  await ask(`fetch ${HUB_PORT}`, /fetched page \/one\.\nfetched page \/two\./u);
  gateway.type("look off\n");
  await gateway.waitForPowerOff(STEP_MS_MAX);
});
