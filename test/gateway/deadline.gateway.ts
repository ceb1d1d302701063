// A release whose Node is broken is on trial, so none of our programs starts. Kernel, systemd and
// two shell scripts must report it and leave the release.
import { join } from "node:path";
import { test } from "tap";
import { kernelNames } from "../lab/gateway/esp.ts";
import { putOnTrial } from "../lab/gateway/images.ts";
import { ensureGoldenImage, STUCK } from "../lab/gateway/golden-image.ts";
import { openGateway } from "../lab/gateway/gateway.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const BOOT_MS_MAX = 400_000;
/** Its deadline is a minute and three seconds after its boot. */
const TIMER_MS_MAX = 400_000;

test(
  "[OTA-60] a system in which none of our programs starts is left at its deadline, and reports it",
  { skip: needs("qemu", "image", "swtpm"), timeout: 1_200_000 },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const image = join(directory, "disk.img");
    await putOnTrial((await ensureGoldenImage()).directory, STUCK, image);
    const gateway = await openGateway({ image, processors: 1 });
    t.teardown(() => gateway.stop());
    const kernels = (): Promise<readonly string[]> => kernelNames(gateway, directory);

    await gateway.powerOn();
    const [failed] = await gateway.waitFor(/sallyport: device .*\n/u, BOOT_MS_MAX);
    t.match(
      failed,
      /device "unknown" slot b: sallyport-(?:warden|agent)\.service failed: exit-code 1; it said: this Node was broken on purpose/u,
      "the serial line says which slot, what and why",
    );
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+1-1.efi"], "it has a try left");
    // The timer's own message, and what it announces.
    await Promise.all([
      gateway.waitFor(/sallyport: slot b was not committed in time: restarting into slot a/u, TIMER_MS_MAX),
      gateway.waitForEvent("RESET", TIMER_MS_MAX),
    ]);
    t.same(await kernels(), ["gw_1_a.efi", "gw_2_b+0.efi"], "which is used up now");
    t.ok(await gateway.waitFor(/serial console, press Enter/u, BOOT_MS_MAX), "the committed system is back");
  },
);
