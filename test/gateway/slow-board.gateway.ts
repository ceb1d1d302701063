// A board with a processor that is four times slower than the emulated boards of the other tests:
// its first boot must not be ended by the watchdog.
import { test } from "tap";
import { ensureGoldenImage } from "../lab/gateway/golden-image.ts";
import { openGateway } from "../lab/gateway/gateway.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { WATCHDOG_S } from "../../build/image/kernel.ts";

const BOOT_MS_MAX = 1_500_000;
const SLOWNESS = 4;

const skip = needs("qemu", "image", "swtpm") || (isLongRun() ? false : "a slow board, in the long run: SALLYPORT_TESTS=long");

test(
  "[OTA-80] a board that is four times slower comes up before its watchdog ends it",
  { skip, timeout: 1_700_000 },
  async (t) => {
    const image = (await ensureGoldenImage()).disk;
    const gateway = await openGateway({ image, processors: 1, slowness: SLOWNESS });
    t.teardown(() => gateway.stop());
    await gateway.powerOn();
    let resets = 0;
    void gateway.waitForEvent("RESET", BOOT_MS_MAX).then(
      () => (resets += 1),
      () => undefined,
    );
    const stamp = async (pattern: string): Promise<number> => {
      const [, seconds] = await gateway.log.waitFor(new RegExp(`\\[ *(\\d+\\.\\d+)\\][^\\n]*${pattern}`, "u"), BOOT_MS_MAX);
      return Number(seconds);
    };
    const armedAtS = await stamp(`the watchdog resets this machine after ${WATCHDOG_S} s`);
    // systemd takes the watchdog before it says anything, and says that where nobody reads it
    const takenAtS = await stamp("systemd\\[1\\]: ");
    t.comment(`armed after ${armedAtS} s, taken over before ${takenAtS} s`);
    await gateway.waitFor(/serial console, press Enter/u, BOOT_MS_MAX);
    const upAtS = Math.max(...[...gateway.log.all().matchAll(/^\[ *(\d+\.\d+)\]/gmu)].map(([, seconds]) => Number(seconds)));
    // The busier the machine, the slower the board: how long it took is for people.
    t.comment(`the console answers after about ${upAtS} s`);
    t.equal(resets, 0, "nothing has reset the board");
  },
);
