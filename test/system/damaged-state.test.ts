// Real programs on damaged state: warden and agent start and say what is wrong, the hub gives a
// fault and an exit code.
import { cpSync, readdirSync, rmSync, statSync } from "node:fs";
import { chown } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { MUTATIONS } from "../lab/fakes/damage.ts";
import { needs } from "../lab/runner/needs.ts";
import { type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { approveOn, untilStatus } from "../lab/worlds/probes.ts";
import { AGENT_UID, buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
/**
 * A lost key is lost, and a birth record that cannot be read refuses an identity: [ID-6] has tests
 * of its own.
 */
const IDENTITY = ["device-key.pem"];

/** Regular files directly in `directory`, without lock, temporaries and what was set aside. */
const stateFilesIn = (directory: string): readonly string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .filter((name) => !IDENTITY.includes(name));

test(
  "[STA-4] warden and agent start with every state file damaged at once, say so, and the agent gets its tunnel back",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    let warden = await rig.startWarden();
    let agent = await rig.startAgent();
    const key = await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    for (const [what, mutate] of Object.entries(MUTATIONS)) {
      t.same(await agent.stop(), { code: 0, signal: null }, what);
      t.same(await warden.stop(), { code: 0, signal: null }, what);
      const { agentState, wardenState } = rig.board;
      // the audit log of the warden and its key stay: another key would need the hub's operator
      // [AUD-10]
      const damaged = [
        ...["", "trust", "spool"].flatMap((folder) =>
          stateFilesIn(join(agentState, folder)).map((name) => join(agentState, folder, name)),
        ),
        ...stateFilesIn(wardenState)
          .filter((name) => !name.startsWith("audit-"))
          .map((name) => join(wardenState, name)),
      ];
      t.ok(
        ["certificate.pem", "request.der", ".log"].every((end) => damaged.some((path) => path.endsWith(end))),
        damaged.join(" "),
      );
      for (const path of damaged) {
        const { uid } = statSync(path);
        await mutate(path);
        if (rig.twoUsers && uid === AGENT_UID && what !== "another user's" && what !== "a link")
          await chown(path, AGENT_UID, AGENT_UID);
      }
      for (const directory of [agentState, wardenState])
        for (const name of readdirSync(directory))
          if (name.startsWith(".aside-")) rmSync(join(directory, name), { recursive: true });
      warden = await rig.startWarden();
      agent = await rig.startAgent();
      await agent.line(/life .* -> connected/u);
      const status = await untilStatus(rig, "a status", ({ life }) => life === "connected");
      t.match(status, { device: { id: ID }, key: { fingerprint: key } }, what);
      if (["oversized", "another user's", "a link", "a directory"].includes(what))
        t.match(status.troubles.join("\n"), /file\.(?:too-large|untrusted-owner|not-regular|read-failed)/u, what);
    }
  },
);

test("[STA-4] each state file of the hub in seven mutations: it serves, or ends with a fault and an exit code, never with a stack", async (t) => {
  const root = await temporaryDirectory(t);
  const healthy = join(root, "hub");
  const program = (state: string, ...args: readonly string[]): RunningProgram =>
    startProgram({
      name: args.join(" "),
      command: process.execPath,
      args: [programFile("sallyport-hub"), ...args, "--state", state],
    });
  const run = async (state: string, ...args: readonly string[]) => {
    const running = program(state, ...args);
    const { code } = await running.ended;
    return { code, text: running.lines.join("\n") };
  };
  /** Stopped once it is ready; a hub that cannot serve ends by itself. */
  const serve = async (state: string) => {
    const running = program(state, "serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
    await Promise.race([running.line(/"ready"/u), running.ended]).catch(() => undefined);
    const { code } = await running.stop();
    return { code, text: running.lines.join("\n") };
  };
  t.equal((await run(healthy, "init", "--name", "Plant 7", "--host", "localhost")).code, 0);
  t.equal((await serve(healthy)).code, 0);
  for (const name of readdirSync(healthy, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name))
    for (const [what, mutate] of Object.entries(MUTATIONS)) {
      const state = join(root, `${name}-${what.replaceAll(/\W/gu, "-")}`);
      cpSync(healthy, state, { recursive: true });
      await mutate(join(state, name));
      const { code, text } = await serve(state);
      t.ok(code === 0 || code === 1 || code === 78, `${name}, ${what}: code ${code}`);
      t.notMatch(text, /^\s+at |node:internal|TypeError|ERR_/mu, `${name}, ${what}`);
      if (code !== 0) t.match(text, /[a-z]+\.[a-z-]+: /u, `${name}, ${what}: a fault with its code`);
      rmSync(state, { recursive: true, force: true });
    }
});
