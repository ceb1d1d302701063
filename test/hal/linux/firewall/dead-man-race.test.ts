// The dead man's switch against the warden that disarms it: one of them wins, in every order, and
// wherever the warden is killed.
import { chmod, chown, lstat, mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test, type Test } from "tap";
import type { Fault } from "../../../../hal/fault.ts";
import { linuxDeadManSwitch } from "../../../../hal/linux/firewall/index.ts";
import { type FileOps, linuxOps } from "../../../../hal/linux/files/index.ts";
import { mountSmallDisk } from "../../../lab/counterparts/small-disk.ts";
import { switchShells } from "../../../lab/counterparts/switch-shells.ts";
import { needs } from "../../../lab/runner/needs.ts";
import { eventually, startProgram } from "../../../lab/runner/process.ts";
import { temporaryDirectory } from "../../../lab/runner/temporary.ts";
import { type DeadManWorld, deadManWorld, HOUR_MS, wayBack } from "../../../lab/worlds/dead-man.ts";

const CHILD = fileURLToPath(new URL("dead-man-child.ts", import.meta.url));
const ROUNDS = 12;
/** More than the steps of a program that arms twice and disarms. */
const STEPS_MAX = 200;
/** Children at a time. */
const AT_ONCE = 4;

const files = ({ directory }: Pick<DeadManWorld, "directory">): Promise<readonly string[]> => readdir(directory);

/** Runs `act` once, right before the first unlink: after the directory was listed. */
function beforeUnlink(act: () => Promise<void>): FileOps {
  const state = { done: false };
  return {
    ...linuxOps,
    unlink: async (path) => {
      if (!state.done && /\/armed-[0-9a-f]+\.nft$/u.test(path)) {
        state.done = true;
        await act();
      }
      await linuxOps.unlink(path);
    },
  };
}

test("[LCK-15] the warden first: a shell that wakes up after it was disarmed loads nothing", async (t) => {
  const world = await deadManWorld(t);
  await world.open().arm(wayBack(), HOUR_MS);
  t.notOk(await world.open().disarm(), "by a program that does not know the shell, and leaves it alive");
  await world.shells.wake();
  await world.shells.ended();
  t.same(await world.loaded(), []);
  t.same(await files(world), []);
});

test("[LCK-15] the switch first: a disarming finds that it fired, while nft runs and after it", async (t) => {
  for (const when of ["begun", "ended"] as const) {
    const world = await deadManWorld(t);
    const held = world.holdNft();
    await world.open().arm(wayBack(), HOUR_MS);
    await world.shells.wake();
    await world.nftHas("begun");
    if (when === "ended") held.release();
    await world.nftHas(when);
    t.match(await files(world), [/^fired-/u], when);
    t.ok(await world.open().disarm(), when);
    if (when === "begun") held.release();
    await world.shells.ended();
    t.same(await files(world), [], when);
  }
});

test("[LCK-15] a switch that fires between the two looks of a disarming is found by it, and leaves no file", async (t) => {
  const world = await deadManWorld(t);
  const deadManSwitch = world.open(
    beforeUnlink(async () => {
      await world.shells.wake();
      await world.nftHas("ended");
    }),
  );
  await deadManSwitch.arm(wayBack(), HOUR_MS);
  t.ok(await deadManSwitch.disarm());
  await world.shells.ended();
  t.equal((await world.loaded()).length, 1);
  t.same(await files(world), []);
});

test("[LCK-15] at the same moment exactly one wins: what was disarmed unfired loads nothing", async (t) => {
  const won = { warden: 0, shell: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const world = await deadManWorld(t);
    await world.open().arm(wayBack(), HOUR_MS);
    const wake = await world.shells.find();
    wake();
    // a little later in each round, so that both orders come about
    for (let turns = 0; turns < round * 4; turns += 1) await new Promise((resolve) => void setImmediate(resolve));
    const fired = await world.open().disarm();
    await world.shells.ended();
    won[fired ? "shell" : "warden"] += 1;
    if (!fired) t.same(await world.loaded(), [], `round ${round}`);
    t.same(await files(world), [], `round ${round}`);
  }
  t.comment(`the warden won ${won.warden} times, the shell ${won.shell} times`);
});

test("[LCK-15] a switch that has fired is not armed anew: neither one that fired before, nor one that fires meanwhile", async (t) => {
  const before = await deadManWorld(t);
  const one = before.open();
  await one.arm(wayBack(), HOUR_MS);
  await before.shells.wake();
  await before.nftHas("ended");
  await t.rejects(one.arm(wayBack(), HOUR_MS), { code: "lockdown.not-in-force" });
  t.match(await files(before), [/^fired-/u], "and nothing is armed");
  t.ok(await one.disarm());

  const meanwhile = await deadManWorld(t);
  const held = meanwhile.holdNft();
  const [earlier] = [meanwhile.open()];
  await earlier.arm(wayBack(), HOUR_MS);
  const [name = ""] = await files(meanwhile);
  const rearming = meanwhile.open(
    beforeUnlink(async () => {
      await meanwhile.shells.wake(join(meanwhile.directory, name));
      await meanwhile.nftHas("begun");
    }),
  );
  await t.rejects(rearming.arm(wayBack(), HOUR_MS), { code: "lockdown.not-in-force" });
  held.release();
  await meanwhile.nftHas("ended");
  await meanwhile.shells.ended();
  t.match(await meanwhile.loaded(), [/\/fired-/u], "the one that fired was left to its work");
  t.match(await files(meanwhile), [/^fired-/u]);
  t.ok(await rearming.disarm());
});

test("[LCK-15] a switch that fires while it is armed anew by its own program is not killed at its work", async (t) => {
  const world = await deadManWorld(t);
  const held = world.holdNft();
  const armed: { name: string | undefined } = { name: undefined };
  const deadManSwitch = world.open(
    beforeUnlink(async () => {
      await world.shells.wake(join(world.directory, armed.name ?? ""));
      await world.nftHas("begun");
    }),
  );
  await deadManSwitch.arm(wayBack(), HOUR_MS);
  [armed.name] = await files(world);
  await t.rejects(deadManSwitch.arm(wayBack(), HOUR_MS), { code: "lockdown.not-in-force" });
  held.release();
  await world.nftHas("ended");
  t.ok(await deadManSwitch.disarm());
  await world.shells.ended();
});

test("[LCK-15] a warden that is killed at any step is never without a switch while its trial runs", async (t) => {
  const steps = { next: 1, isOver: false };
  const worker = async (): Promise<void> => {
    while (!steps.isOver && steps.next < STEPS_MAX) {
      const step = steps.next;
      steps.next += 1;
      if (await killedAt(t, step)) steps.isOver = true;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  t.ok(steps.isOver, "the last one came to its end");
  t.comment(`${steps.next} steps`);
});

/** @returns true when the program came to its end before that step. */
async function killedAt(t: Test, step: number): Promise<boolean> {
  const { directory, shells, nft, ...world } = await deadManWorld(t);
  const program = startProgram({
    name: `killed at ${step}`,
    command: process.execPath,
    args: [CHILD, directory, String(step), ...nft],
  });
  const { code } = await program.ended;
  const said = new Set(program.lines);
  const names = await readdir(directory).catch(() => []);
  const at = `step ${step} (${[...said].join(", ")})`;
  if (said.has("armed") && !said.has("disarming")) {
    const waiting = await eventually("a shell waits", async () => {
      const found = await shells.waiting();
      return found.some((armed) => names.some((name) => armed === join(directory, name))) ? found : undefined;
    });
    t.ok(waiting.length > 0, `${at}: armed, with a shell that lives`);
    if (step % 2 === 0) {
      await shells.wake(waiting.find((armed) => names.some((name) => armed === join(directory, name))));
      await world.nftHas("ended");
      t.ok(await world.open().disarm(), `${at}: it fires, and the next program learns of it`);
      return false;
    }
  }
  t.notOk(await world.open().disarm(), `${at}: nothing has fired`);
  for (const armed of await shells.waiting()) await shells.wake(armed);
  await shells.ended();
  t.same(await world.loaded(), [], `${at}: and nothing fires any more`);
  t.same(
    (await readdir(directory).catch(() => [])).filter((name) => /^(?:armed|fired)-/u.test(name)),
    [],
    at,
  );
  return code === 0;
}

test(
  "[LCK-15] on a full disk nothing is armed, one that is armed stays, and on a read-only disk it fires all the same",
  { skip: needs("mounts") },
  async (t) => {
    const world = await deadManWorld(t);
    await mkdir(world.directory, { mode: 0o700 });
    const disk = mountSmallDisk(world.directory, 16);
    t.teardown(() => disk.unmount());
    disk.fill(0);
    const deadManSwitch = world.open();
    await t.rejects(deadManSwitch.arm(wayBack(), HOUR_MS), { code: "file.no-space" });
    t.same(await world.shells.waiting(), []);
    t.same(await files(world), ["filling"]);
    disk.fill(1);
    await deadManSwitch.arm(wayBack(), HOUR_MS);
    disk.fill(0);
    await t.rejects(deadManSwitch.arm(wayBack(), HOUR_MS), { code: "file.no-space" });
    t.match(await world.shells.one(), /\/armed-/u);
    disk.setReadOnly(true);
    await world.shells.wake();
    await world.nftHas("ended");
    t.match(await world.loaded(), [/\/armed-/u], "it cannot be renamed there, and nobody could have removed it");
    disk.setReadOnly(false);
    await deadManSwitch.disarm();
    await world.shells.ended();
  },
);

test(
  "[LCK-15] [STA-13] of a directory that others may write, that another user owns, or of a link, nothing is used",
  { skip: needs("root") },
  async (t) => {
    const root = await temporaryDirectory(t);
    const open = join(root, "open");
    await mkdir(open);
    await chmod(open, 0o777);
    const foreign = join(root, "foreign");
    await mkdir(foreign, { mode: 0o700 });
    await chown(foreign, 65_534, 65_534);
    await mkdir(join(root, "elsewhere"), { mode: 0o700 });
    await symlink(join(root, "elsewhere"), join(root, "link"));
    await symlink(join(root, "nowhere"), join(root, "dangling"));
    await writeFile(join(root, "file"), "");
    for (const name of ["open", "foreign", "link", "dangling", "file"]) {
      const directory = join(root, name);
      const faults: Fault[] = [];
      const onDamage = (fault: Fault): void => void faults.push(fault);
      const armed = linuxDeadManSwitch({ directory, root, command: ["true"], onDamage });
      await armed.arm(wayBack(), HOUR_MS);
      t.equal(faults.length, 1, `${name} is told`);
      const { mode, uid } = await lstat(directory);
      t.same([mode, uid], [0o040700, 0], `${name}: a directory of its own took the place`);
      t.match(await switchShells(directory).one(), `${directory}/armed-`, `${name} is armed there`);
      t.notOk(await armed.disarm(), name);
    }
    const aside = [".aside-open", ".aside-foreign", "elsewhere"].map((name) => readdir(join(root, name)));
    t.same((await Promise.all(aside)).flat(), [], "nothing was written into what was there");
    t.ok((await stat(join(root, ".aside-file"))).isFile());
  },
);
