// The data partition is read-only, as ext4 makes it after an error: the device is as useful as it
// can be without writing. [STA-50] [STA-51]
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { startBoardNetwork } from "../lab/counterparts/netns.ts";
import { mountDataDisk } from "../lab/counterparts/data-disk.ts";
import { needsLoop } from "../lab/counterparts/loop.ts";
import { mountSmallDisk, type SmallDisk } from "../lab/counterparts/small-disk.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig, DEFAULT_MAC, type Rig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
/** With room for the zeros that logs reserve, which a kill leaves behind. */
const PAGES = 4096;
const SKIP = needs("bundles", "mounts", "netns");

interface Disks {
  readonly agent: SmallDisk;
  readonly warden: SmallDisk;
  readonly birth: SmallDisk;
}

/** A board in a network of its own, whose state lies on two small disks. */
async function boardWithDisks(t: Test): Promise<{ readonly rig: Rig; readonly disks: Disks; readonly isShut: () => boolean }> {
  const cable = startBoardNetwork(DEFAULT_MAC);
  t.teardown(() => cable.stop());
  const rig = await buildRig({ hubAddress: cable.hubAddress, boardPrefix: cable.prefix });
  t.teardown(() => rig.stop());
  const { agentState, wardenState, birth: birthState } = rig.board;
  const disks = {
    agent: mountSmallDisk(agentState, PAGES),
    warden: mountSmallDisk(wardenState, PAGES),
    birth: mountSmallDisk(birthState, PAGES),
  };
  t.teardown(() => Object.values(disks).forEach((disk) => disk.unmount()));
  const isShut = (): boolean => {
    const [ip, ...words] = cable.prefix;
    const { stdout } = spawnSync(ip, [...words, "nft", "list", "table", "inet", "sallyport"], { encoding: "utf8" });
    return /policy drop/u.test(stdout);
  };
  return { rig, disks, isShut };
}

/** Enrolled, connected once, and switched off. */
async function settle(rig: Rig, how: "SIGTERM" | "SIGKILL"): Promise<{ readonly hub: RunningProgram; readonly key: string }> {
  const hub = await rig.startHub();
  const warden = await rig.startWarden();
  const agent = await rig.startAgent();
  const key = await approveOn(rig, hub, ID);
  await agent.line(/life .* -> connected/u);
  await verifiedTrail(rig, ID, ["tunnel.connected"]);
  await agent.stop(how);
  await warden.stop(how);
  return { hub, key };
}

/** Every file below the two directories, with its bytes. */
function contentOf({ board }: Rig): Readonly<Record<string, string>> {
  const files = [board.agentState, board.wardenState, board.birth].flatMap((directory) =>
    readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name))),
  );
  return Object.fromEntries(files.filter((path) => statSync(path).isFile()).map((path) => [path, readFileSync(path, "hex")]));
}

function placeOf({ board }: Rig, name: keyof Disks): string {
  return name === "birth" ? board.birth : board[`${name}State`];
}

const isTold = (troubles: readonly string[], directory: string): boolean =>
  troubles.some((one) => one.startsWith("file.read-only: ") && one.includes(directory));

const CASES = [
  { what: "of both programs", readOnly: ["agent", "warden"], how: "SIGTERM" },
  { what: "of both programs and the birth record", readOnly: ["agent", "warden", "birth"], how: "SIGTERM" },
  { what: "of the agent alone", readOnly: ["agent"], how: "SIGTERM" },
  { what: "of the warden alone", readOnly: ["warden"], how: "SIGTERM" },
  { what: "of both programs after a power cut", readOnly: ["agent", "warden"], how: "SIGKILL" },
] as const;

for (const { what, readOnly, how } of isLongRun() ? CASES : CASES.slice(0, 1))
  test(
    `[STA-50] [STA-51] state ${what} that comes up read-only: tunnel, commands and doors work, the status says so, and nothing is written`,
    { skip: SKIP },
    async (t) => {
      const { rig, disks, isShut } = await boardWithDisks(t);
      const { key } = await settle(rig, how);
      for (const name of readOnly) disks[name].setReadOnly(true);
      const before = contentOf(rig);
      const [warden, agent] = [await rig.startWarden(), await rig.startAgent()];
      await agent.line(/life .* -> connected/u);
      const status = await untilStatus(rig, "the trouble", ({ life, troubles }) =>
        readOnly.every((name) => life === "connected" && (name === "birth" || isTold(troubles, placeOf(rig, name)))),
      );
      t.ok(isShut(), "the packet filter is in force");
      t.match(status, { lockdown: { at: "base" }, clock: { state: "synced" } });
      const after = contentOf(rig);
      for (const [path, bytes] of Object.entries(before))
        if (readOnly.some((name) => path.startsWith(placeOf(rig, name)))) t.equal(after[path], bytes, path);
      if (readOnly.some((name) => name === "warden")) t.ok((status.audit?.dropped ?? 0) > 0, "records are counted");
      for (const { lines } of [agent, warden]) {
        t.notMatch(lines.join("\n"), /assert|unhandled/iu);
        t.ok(lines.length < 100, `${lines.length} lines`);
      }
      t.same(await agent.stop(), { code: 0, signal: null });
      t.same(await warden.stop(), { code: 0, signal: null });

      for (const name of readOnly) disks[name].setReadOnly(false);
      await rig.startWarden();
      const well = await rig.startAgent();
      await well.line(/life .* -> connected/u);
      const again = await untilStatus(rig, "a status", () => true);
      t.notMatch(again.troubles.join("\n"), /read-only|tampered/u);
      await verifiedTrail(rig, ID, ["tunnel.connected", "tunnel.connected"]);
      t.same(await keysAtHub(rig, ID), [key]);
    },
  );

test(
  "[STA-50] a first power-on with read-only state ends nothing, and no key is made",
  { skip: isLongRun() ? SKIP : "for the long run" },
  async (t) => {
    const { rig, disks, isShut } = await boardWithDisks(t);
    await rig.startHub();
    for (const disk of [disks.agent, disks.warden]) disk.setReadOnly(true);
    await rig.startWarden();
    await rig.startAgent();
    const status = await untilStatus(rig, "the fault", ({ troubles }) => isTold(troubles, rig.board.agentState));
    t.ok(isShut());
    t.equal(status.life, "blank");
    t.same(contentOf(rig), {});
  },
);

test(
  "[STA-51] ext4 that mounts itself read-only while the device is connected: it goes on, and is well after the repair",
  { skip: isLongRun() ? SKIP || needsLoop() : "for the long run" },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const disk = mountDataDisk(rig.directory, [rig.board.agentState, rig.board.wardenState]);
    t.teardown(() => disk.unmount());
    const { hub } = await settle(rig, "SIGTERM");
    const [warden, agent] = [await rig.startWarden(), await rig.startAgent()];
    await agent.line(/life .* -> connected/u);
    disk.breakNow();
    await hub.stop();
    await agent.line(/life connected -> disconnected/u);
    await rig.startHub();
    await agent.line(/life disconnected -> connected/u);
    const poor = await untilStatus(
      rig,
      "the troubles",
      ({ troubles, audit }) => isTold(troubles, rig.board.agentState) && (audit?.dropped ?? 0) > 0,
    );
    t.equal(poor.life, "connected");
    for (const { lines } of [agent, warden]) {
      t.notMatch(lines.join("\n"), /assert|unhandled/iu);
      t.ok(lines.length < 100, `${lines.length} lines`);
    }
    t.same(await agent.stop(), { code: 0, signal: null });
    t.same(await warden.stop(), { code: 0, signal: null });
    const [restartedWarden, restarted] = [await rig.startWarden(), await rig.startAgent()];
    await restarted.line(/life .* -> connected/u);
    t.same(await restarted.stop(), { code: 0, signal: null }, "programs that start on the broken disk too");
    t.same(await restartedWarden.stop(), { code: 0, signal: null });
    disk.repair();
    await rig.startWarden();
    const well = await rig.startAgent();
    await well.line(/life .* -> connected/u);
    const again = await untilStatus(rig, "a status", () => true);
    t.notMatch(again.troubles.join("\n"), /read-only|tampered/u);
    await verifiedTrail(rig, ID, ["tunnel.connected", "tunnel.connected", "tunnel.connected"]);
  },
);
