// A policy from end to end: signed by the release tool, published by the hub, tried by the warden,
// and confirmed or reverted by a key. Real processes and the kernel's own packet filter.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { test } from "tap";
import { lockdownViewSchema } from "../../warden/lockdown/format/index.ts";
import { startProbe } from "../lab/counterparts/network-probe.ts";
import { connectedBoard } from "../lab/worlds/connected-board.ts";
import { environment } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { needs } from "../lab/runner/needs.ts";
import { startBoardNetwork } from "../lab/counterparts/netns.ts";
import { boardPolicy, makeKeyHolder } from "../lab/counterparts/operator-keys.ts";
import { DEFAULT_MAC } from "../lab/worlds/rig.ts";
import { BAD_STICK, STICK } from "../lab/fakes/usb-tree.ts";

const [KEPT, SHUT] = [8080, 9090];

/** Of a policy's trial: a busy machine may take minutes for the steps in it. */
const confirmWithinS = 600;

/** The release tool as a process, as on the machine of somebody who signs. */
async function releaseTool(...args: readonly string[]): Promise<{ readonly out: string; readonly err: string }> {
  const words = ["-i", ...environment(), process.execPath, programFile("sallyport-release"), ...args];
  const { stdout, stderr } = await promisify(execFile)("/usr/bin/env", words);
  return { out: stdout, err: stderr };
}

function network(...ports: readonly number[]): object {
  return {
    inbound: [{ link: "eth0", protocol: "tcp", ports, from: "any" }],
    outbound: [{ protocol: "udp", ports: [53], to: "any" }],
  };
}

test(
  "[LCK-13] [LCK-35] [LCK-12] [LCK-14] [LCK-20] [OPS-27] [OTA-42] a signed policy closes a port, is confirmed by its key, signed away from the hub, through a new connection, and holds after a reboot",
  { skip: needs("netns", "bundles") },
  async (t) => {
    const cable = startBoardNetwork(DEFAULT_MAC);
    t.teardown(() => cable.stop());
    const { rig, launcher, id, recorded, publish, statusWhen } = await connectedBoard(t, {
      hubAddress: cable.hubAddress,
      boardPrefix: cable.prefix,
      basePolicy: () => ({ network: network(KEPT, SHUT) }),
    });
    const [board, outside] = [await startProbe(cable.prefix, "services"), await startProbe([], "outside")];
    t.teardown(() => board.stop());
    t.teardown(() => outside.stop());
    for (const port of [KEPT, SHUT, 7070]) await board.listen(port);
    const tried = () => Promise.all([KEPT, SHUT, 7070].map((port) => outside.tcp(cable.boardAddress, port)));
    t.same(await tried(), ["open", "open", "silent"], "the image's policy");
    const { usb } = rig.board;
    usb.plug("1-1", STICK);
    t.equal(usb.read("1-1/authorized"), "0", "no device is named");

    const foreign = boardPolicy(rig.confirmer, { network: network(KEPT, SHUT, 7070) });
    await rig.release.target("policy/foreign.json", foreign, { counter: 7, audience: { devices: ["another"] } });
    const allow = [{ ...STICK, interfaces: [...STICK.interfaces] }];
    await rig.release.target(
      "policy/own.json",
      boardPolicy(rig.confirmer, { network: network(KEPT), usb: { allow }, confirmWithinS }),
      {
        counter: 2,
        audience: { devices: [id] },
      },
    );
    await publish();
    const { connections } = (await rig.status()).tunnel;
    await statusWhen("the trial", ({ lockdown }) => lockdown?.at === "pending");
    await statusWhen("a new connection", ({ life, tunnel }) => life === "connected" && tunnel.connections > connections);
    t.same(await tried(), ["open", "silent", "silent"], "in force while it is tried");

    const stranger = await makeKeyHolder(rig.directory, "stranger");
    await t.rejects(
      rig.hub.command("lockdown", "confirm", id, "--yes", "--key", stranger.keyFile),
      /order\./,
      "a stranger's key confirms nothing",
    );
    t.equal((await rig.status()).lockdown?.at, "pending");
    await t.rejects(
      rig.hub.command("lockdown", "confirm", id, "--key", rig.confirmer.keyFile),
      /add --yes/u,
      "somebody has to read what it opens",
    );
    const file = (name: string) => join(rig.directory, name);
    await writeFile(file("request"), await rig.hub.command("order", id, "lockdown.confirm", "--print"));
    const signed = await releaseTool("answer", file("request"), "--key", rig.confirmer.keyFile, "--yes");
    t.match(signed.err, /plan +sha256:[0-9a-f]{64}\s+hashed again on this machine/u, "the signer sees what the device's plan is");
    t.match(signed.err, /closes, compared with what the device says[^\n]*:\n.*in: tcp .*9090/u);
    await writeFile(file("answer"), signed.out);
    await rig.hub.command("order", id, "--answer", file("answer"));
    const shown = await rig.ask("lockdown.show", lockdownViewSchema);
    t.match(shown.state, { at: "confirmed", counter: 2 });
    t.equal(usb.read("1-1/authorized"), "1", "the stick that the policy names");

    await launcher.stop();
    await launcher.powerOn();
    await statusWhen("the tunnel after the reboot", ({ life }) => life === "connected");
    t.same(await tried(), ["open", "silent", "silent"], "the kernel had forgotten it, the warden had not");
    usb.plug("1-2", BAD_STICK);
    await recorded("the second stick is judged", ({ event }) => event === "usb.refused");
    t.same([usb.read("1-1/authorized"), usb.read("1-2/authorized")], ["1", "0"]);

    await rig.release.target("policy/own-3.json", boardPolicy(rig.confirmer, { network: network(KEPT, 7070), confirmWithinS }), {
      counter: 3,
    });
    await publish();
    await statusWhen("the next trial", ({ lockdown }) => lockdown?.at === "pending");
    t.same(await tried(), ["open", "silent", "open"]);
    await rig.hub.command("lockdown", "revert", id, "--yes", "--key", rig.confirmer.keyFile);
    t.match((await rig.ask("lockdown.show", lockdownViewSchema)).state, { at: "confirmed", counter: 2 });
    t.same(await tried(), ["open", "silent", "silent"], "reverted to the confirmed policy");
    for (const wanted of ["target.refused", "lockdown.pending", "lockdown.confirmed", "lockdown.reverted", "usb.allowed"])
      await recorded(wanted, ({ event }) => event === wanted);
  },
);
