// The dead man's switch beside a real warden that does nothing more, as seen from the other side of
// the cable and in the USB tree.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { lacksProbeNetwork } from "../lab/counterparts/network-probe.ts";
import { switchShells } from "../lab/counterparts/switch-shells.ts";
import { type FakeKernel, fakeKernel, KEYBOARD, type Plugged, STICK } from "../lab/fakes/usb-tree.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { filteredWarden } from "../lab/worlds/filtered-warden.ts";
import { verifiedLog } from "../lab/worlds/warden.ts";

const skip = needs("bundles") || lacksProbeNetwork("netns");
const rule = ({ vendor, product, interfaces }: Plugged) => ({ vendor, product, interfaces });

test(
  "[LCK-15] [LCK-21] a warden that hangs: the switch closes the port and shuts out the stick of the policy on trial, and leaves the keyboard",
  { skip },
  async (t) => {
    const board: { kernel: FakeKernel | undefined } = { kernel: undefined };
    const world = await filteredWarden(t, {
      usb: { base: { allow: [rule(KEYBOARD)] }, tried: { allow: [rule(KEYBOARD), rule(STICK)] } },
      prepare: async (root) => {
        const kernel = fakeKernel(root);
        kernel.addController(1, 4, "0");
        kernel.plug("1-1", STICK);
        kernel.plug("1-2", KEYBOARD);
        board.kernel = kernel;
      },
    });
    const { lab, network, program } = world;
    const kernel = board.kernel ?? fakeKernel(lab.board.root);
    const authorized = (): string => ["1-1", "1-2", "1-3"].map((port) => kernel.read(`${port}/authorized`)).join("");
    kernel.plug("1-3", { ...STICK, serial: "another" });
    t.equal(authorized(), "010", "the policy of the image");
    await world.tryPolicy();
    await eventually("both sticks are let in", async () => (authorized() === "111" ? true : undefined));
    // a modem enumerates anew like this
    kernel.unplug("1-2");
    kernel.plug("1-2", KEYBOARD);
    kernel.unplug("1-3");
    kernel.plug("1-3", { ...STICK, serial: "a third" });
    await eventually("what came later is let in", async () => (authorized() === "111" ? true : undefined));
    t.equal(await world.probe(), "open");

    process.kill(program.pid, "SIGSTOP");
    await switchShells(join(lab.board.wardenState, "dead-man")).wake();
    await eventually("the port is closed", async () => ((await world.probe()) === "silent" ? true : undefined));
    await eventually("the sticks are shut out", async () => (authorized() === "010" ? true : undefined));

    await program.stop("SIGKILL");
    const again = lab.launch(network.nft.slice(0, -1));
    await again.line(/listening on/u);
    t.equal(authorized(), "010");
    t.equal(await world.probe(), "silent");
    const events = (await verifiedLog(lab.client())).map(({ event, detail }) => `${event} ${detail?.["reason"] ?? ""}`);
    t.ok(events.includes("lockdown.switch-fired "), "the next start has recorded that it fired");
    t.ok(events.includes("lockdown.reverted restarted"));
  },
);

test("[LCK-15] [STA-3] a second warden on the same state does not get as far as the switch of the first", { skip }, async (t) => {
  const world = await filteredWarden(t);
  const { lab, network } = world;
  await world.tryPolicy();
  const directory = join(lab.board.wardenState, "dead-man");
  const shells = switchShells(directory);
  const before = { files: await readdir(directory), waiting: await shells.one() };
  t.equal(before.files.length, 1);
  const second = lab.launch(network.nft.slice(0, -1));
  const { code } = await second.ended;
  t.not(code, 0);
  t.match(second.lines.join("\n"), /lock\.held/u);
  t.same({ files: await readdir(directory), waiting: await shells.one() }, before);
  t.equal(await world.probe(), "open", "and the trial goes on");
});
