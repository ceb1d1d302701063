// A gateway's updates through its real boot loader, in one life. What counts is what the hub was told, the audit trail, the names on the EFI system partition, and the serial line.
import { type Test, test } from "tap";
import type { UpdateStatus } from "../../warden/protocol/format.ts";
import { hubRecords } from "../demo/evidence.ts";
import { kernelNames } from "../lab/gateway/esp.ts";
import { openSite, RELEASES } from "../lab/gateway/index.ts";
import { awaitUpdate } from "../lab/gateway/progress.ts";
import { needs } from "../lab/needs.ts";
import { temporaryDirectory } from "../lab/temporary.ts";

const ID = "GW-LAB-0001";
/** For one step: a boot, an installation, a trial. The machine may have others to emulate too. */
const STEP_MS_MAX = 1_200_000;
const WARDEN_STARTED = /Started sallyport-warden\.service/u;
const INSTALLER_STARTED = /Started (sallyport-install@\S+\.service)/u;

test("updates through the real boot loader", { skip: needs("qemu", "image", "swtpm"), timeout: 3_600_000 }, async (t) => {
  const { gateway, hub, tell, say, until, kernels, events } = await begin(t);
  /** Until the next line that says so: a boot's end, from where the last look at the log ended. */
  const logged = async (pattern: RegExp): Promise<string> => {
    const [found] = await gateway.log.waitFor(pattern, STEP_MS_MAX);
    say(found);
    return found;
  };

  await t.test("[OTA-34] [OTA-35] a good release is written by its own unit, tried, found well and committed", async (part) => {
    tell(part);
    await gateway.powerOn();
    await hub.approve();
    await hub.command("update", "start", ID, RELEASES.good);
    await logged(INSTALLER_STARTED);
    await logged(WARDEN_STARTED); // of the next boot, and nothing can be well so soon
    part.same(await kernels(), ["gw_1_a.efi", "gw_2_b+1-1.efi"], "the boot loader has taken one of two tries");
    const status = await until("it is committed", ({ phase }) => phase === "committed");
    part.match(status, { running: "b", version: "2.0.0", slot: "b", release: { target: RELEASES.good } });
    part.same(await kernels(), ["gw_1_a.efi", "gw_2_b.efi"], "which is the new one's, for good");
    part.same(
      await events(),
      ["update.begun", "update.written", "update.trying", "update.committed"],
      "the hub's audit trail tells it",
    );
  });
});

async function begin(t: Test) {
  const started = performance.now();
  let part = t;
  const say = (line: string): void => part.comment(`${Math.round((performance.now() - started) / 1000)} s: ${line}`);
  const directory = await temporaryDirectory(t);
  const site = await openSite({ say, processors: 1 });
  t.teardown(() => site.stop());
  const { gateway, hub } = site;
  let told = 0;
  return {
    gateway,
    hub,
    /** Who is told from now on. */
    tell: (to: Test): void => void (part = to),
    say,
    until: (what: string, isIt: (status: UpdateStatus) => boolean) =>
      awaitUpdate({ hub, id: ID, timeoutMs: STEP_MS_MAX, say }, what, isIt),
    kernels: async (): Promise<readonly string[]> =>
      (await kernelNames(gateway, directory)).filter((name) => name.endsWith(".efi")),
    /** What the hub's trail says of updates since the last call. */
    events: async (): Promise<readonly string[]> => {
      const all = (await hubRecords({ hubCommand: (...args) => hub.command(...args) }, ID)).map(({ record }) => record.event);
      const updates = all.filter((event) => event.startsWith("update."));
      const fresh = updates.slice(told);
      told = updates.length;
      return fresh;
    },
  };
}
