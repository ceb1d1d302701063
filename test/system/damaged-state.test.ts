// Real programs on damaged state: warden and agent start and say what is wrong. The hub is in
// damaged-hub-state.test.ts.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { chmod, chown } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { test } from "tap";
import { MUTATIONS, WRONG_DIRECTORIES } from "../lab/fakes/damage.ts";
import type { TestContext } from "../lab/runner/context.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, type RunningProgram } from "../lab/runner/process.ts";
import { approveOn, keysAtHub, untilStatus } from "../lab/worlds/probes.ts";
import { AGENT_UID, buildRig, type Rig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

/**
 * What the first test leaves alone. A lost key is lost [ID-6], and the log and its key would need
 * the hub's operator [AUD-10]: the second test has the key, and test/warden/damaged-state.test.ts
 * each file of the warden by itself.
 */
const ELSEWHERE = /^(?:device-key\.pem|audit\/.*|audit-(?!pending).*)$/u;

/** Every file below `directory`, without lock, temporaries and what was set aside. */
const stateFilesIn = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, path: relative(directory, join(entry.parentPath, entry.name)) }))
    .filter(({ entry, path }) => entry.isFile() && !path.split("/").some((part) => part.startsWith(".")))
    .map(({ path }) => path);

const stateDirectoriesIn = (directory: string): readonly string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => join(directory, name));

/** Damages a file as its owner could: the agent's files stay the agent's. */
async function damage(rig: Rig, path: string, what: string, mutate: (path: string) => Promise<void>): Promise<void> {
  const { uid } = statSync(path);
  await mutate(path);
  if (rig.twoUsers && uid === AGENT_UID && what !== "another user's" && what !== "a link")
    await chown(path, AGENT_UID, AGENT_UID);
}

function clearAside(directory: string): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (/^\.aside-|\.elsewhere$/u.test(entry.name)) rmSync(join(entry.parentPath, entry.name), { recursive: true, force: true });
}

interface InUse {
  readonly rig: Rig;
  readonly warden: RunningProgram;
  readonly agent: RunningProgram;
  /** The fingerprint of the device's key. */
  readonly key: string;
}

/** A board that is approved and connected, and has taken a roster from the hub's repository. */
async function inUse(t: TestContext): Promise<InUse> {
  const rig = await buildRig();
  t.teardown(() => rig.stop());
  const hub = await rig.startHub();
  const [warden, agent] = [await rig.startWarden(), await rig.startAgent()];
  const key = await approveOn(rig, hub, ID);
  await agent.line(/life .* -> connected/u);
  await rig.release.target("operators/roster.json", { v: 1, operators: [] }, { counter: 1 });
  await rig.release.sign();
  await rig.hub.command("release", "publish", rig.release.directory);
  await eventually("the roster", async () =>
    existsSync(join(rig.board.wardenState, "targets/operators.taken")) ? true : undefined,
  );
  return { rig, warden, agent, key };
}

/**
 * Of the key, in the short run: what cannot be parsed, and what is not read, for two reasons.
 * test/hal/linux/files/hostile.test.ts has the others, for any file.
 */
const KEY_MUTATIONS = ["a flipped bit", "another user's", "readable by others"];

const ROUNDS = 4;
const TYPES = ["oversized", "another user's", "a link", "a directory"];

test(
  "[STA-4] [OTA-34] warden and agent start with every state file and the boot choice damaged at once, say so, and the agent gets its tunnel back",
  { skip: needs("bundles") },
  async (t) => {
    const { rig, key, ...running } = await inUse(t);
    let { warden, agent } = running;
    const { agentState, wardenState, slots } = rig.board;
    for (const [what, mutate] of Object.entries(MUTATIONS)) {
      t.same(await agent.stop(), { code: 0, signal: null }, what);
      t.same(await warden.stop(), { code: 0, signal: null }, what);
      const damaged = [agentState, wardenState].flatMap((directory) =>
        stateFilesIn(directory)
          .filter((name) => !ELSEWHERE.test(name))
          .map((name) => join(directory, name)),
      );
      for (const end of ["certificate.pem", "request.der", ".log", "trust/timestamp.json", "targets/operators.taken"])
        t.ok(what !== "a flipped bit" || damaged.some((path) => path.endsWith(end)), `${end} in ${damaged.join(" ")}`);
      for (const path of damaged) await damage(rig, path, what, mutate);
      await mutate(slots.bootChoice);
      warden = await rig.startWarden();
      agent = await rig.startAgent();
      await agent.line(/life .* -> connected/u);
      const status = await untilStatus(rig, "a status", ({ life }) => life === "connected");
      t.match(status, { device: { id: ID }, key: { fingerprint: key } }, what);
      const troubles = status.troubles.join("\n");
      if (TYPES.includes(what)) t.match(troubles, /file\.(?:too-large|untrusted-owner|not-regular|read-failed)/u, what);
      t.match(troubles, what === "truncated" || what === "a flipped bit" ? /./u : /boot/u, `${what}: ${troubles}`);
      for (const directory of [agentState, wardenState]) clearAside(directory);
      rmSync(slots.bootChoice, { recursive: true, force: true });
      rmSync(`${slots.bootChoice}.elsewhere`, { force: true });
      writeFileSync(slots.bootChoice, "a\n");
    }
  },
);

test(
  "[STA-4] [ID-6] [STA-30] a device key that is damaged, or one that others may read: no other key is made, the console's agent runs, and the key put back is used",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    await rig.startWarden();
    let agent = await rig.startAgent();
    await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const path = join(rig.board.agentState, "device-key.pem");
    const good = readFileSync(path);
    const readable = async (file: string): Promise<void> => await chmod(file, 0o644);
    for (const [what, mutate] of Object.entries({ ...MUTATIONS, "readable by others": readable })) {
      if (!isLongRun() && !KEY_MUTATIONS.includes(what)) continue;
      await agent.stop();
      await damage(rig, path, what, mutate);
      agent = await rig.startAgent();
      const { troubles } = await untilStatus(rig, `a fault of the key, ${what}`, (status) =>
        /key\.|file\./u.test(status.troubles.join("\n")),
      );
      if (what === "readable by others") t.match(troubles.join("\n"), /chmod 600/u, "the command that mends it");
      if (what !== "a link") rmSync(`${path}.elsewhere`, { force: true });
      rmSync(path, { recursive: true });
      writeFileSync(path, good, { mode: 0o600 });
      if (rig.twoUsers) await chown(path, AGENT_UID, AGENT_UID);
    }
    await agent.stop();
    agent = await rig.startAgent();
    await agent.line(/life .* -> connected/u);
    t.equal((await keysAtHub(rig, ID)).length, 1);
  },
);

test(
  "[STA-13] warden and agent start with the wrong thing in place of every directory of theirs, say so, and the agent gets its tunnel back",
  { skip: needs("bundles") },
  async (t) => {
    const { rig, ...running } = await inUse(t);
    let { warden, agent } = running;
    const { agentState, wardenState, slots } = rig.board;
    const kinds = Object.entries(WRONG_DIRECTORIES);
    // each round has another thing in each place; test/hal/linux/files has them all in one place
    for (let round = 0; round < ROUNDS; round++) {
      const thing = (n: number) => kinds[(n * ROUNDS + round) % kinds.length] ?? ["nothing", async () => undefined];
      const what = `round ${round}`;
      await agent.stop();
      await warden.stop();
      const directories = [agentState, wardenState].flatMap((directory) => stateDirectoriesIn(directory));
      for (const name of ["trust", "spool", "targets", "lockdown", "update", "audit"])
        t.ok(
          directories.some((path) => path.endsWith(`/${name}`)),
          `${name} in ${directories.join(" ")}`,
        );
      for (const [n, directory] of directories.entries()) await thing(n)[1](directory);
      const slotsAside = dirname(slots.bootChoice);
      await thing(round)[1](slotsAside);
      warden = await rig.startWarden();
      agent = await rig.startAgent();
      await agent.line(/life .* -> connected/u);
      await untilStatus(rig, `the faults of ${what}`, ({ life, troubles }) => {
        const told = troubles.join("\n");
        return (
          life === "connected" &&
          directories.filter((path) => !path.endsWith("/handover")).every((path) => told.includes(`/${basename(path)}"`))
        );
      });
      for (const directory of directories.filter((path) => !path.endsWith("/handover")))
        t.ok(readdirSync(dirname(directory)).includes(`.aside-${basename(directory)}`), `${what}: ${directory}`);
      for (const directory of [agentState, wardenState]) clearAside(directory);
      await restore(slotsAside);
    }
  },
);

/** The slots are the board's, and were not set aside: puts their directory back. */
async function restore(directory: string): Promise<void> {
  if (existsSync(`${directory}.elsewhere`)) {
    rmSync(directory, { force: true });
    renameSync(`${directory}.elsewhere`, directory);
  }
  await chmod(directory, 0o755);
  await chown(directory, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
}
