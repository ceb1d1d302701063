// Programs whose stdout or stderr cannot be written: a full disk, or a reader that has ended.
// Services go on, commands say so by their code, and nothing prints a stack.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { test, type Test } from "tap";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { needs } from "../lab/runner/needs.ts";
import { environment, eventually, HANG_MS, type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { ask, labDevice, simpleEnrol } from "../lab/worlds/hub.ts";
import { untilStatus } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const PROGRAMS = ["sallyport", "sallyport-hub", "sallyport-release", "sallyport-agent", "sallyport-warden"] as const;
type Name = (typeof PROGRAMS)[number];

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command whose output goes as the shell's `redirections` say. */
function redirected(redirections: string, name: Name, ...args: readonly string[]): Outcome {
  const words = ["sh", "-c", `"$@" ${redirections}`, "sh", process.execPath, programFile(name), ...args];
  const ran = spawnSync("/usr/bin/env", ["-i", ...environment(), ...words], { encoding: "utf8", timeout: HANG_MS });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

/** Runs a command, and reads nothing of its output: both pipes are closed before it can write. */
function unread(name: Name, ...args: readonly string[]): Promise<number | null> {
  const words = ["-i", ...environment(), process.execPath, programFile(name), ...args];
  const child = spawn("/usr/bin/env", words, { stdio: ["ignore", "pipe", "ignore"] });
  child.stdout.destroy();
  return new Promise((resolve) => void child.once("exit", resolve));
}

const STACK = /^\s+at |node:|Error:/mu;

test("[OPS-33] a command whose output cannot be written ends with 1 and says why", async (t) => {
  for (const name of PROGRAMS) {
    const { code, out, err } = redirected("> /dev/full", name, "--help");
    t.equal(code, 1, name);
    t.equal(out, "");
    t.match(err, new RegExp(`^${name}: file\\.write-failed: write the output: ENOSPC: no space left on device`, "u"));
    t.notMatch(err, STACK, name);
    t.equal(redirected("> /dev/full 2> /dev/full", name, "--help").code, 1, `${name}: with no place for the message either`);
    t.equal(redirected("2> /dev/full", name, "--help").code, 0, `${name}: stderr is not needed`);
    t.equal(redirected("2> /dev/full", name, "--nonsense").code, 2, `${name}: a fault keeps its code`);
  }
});

test("[OPS-33] a command whose reader has ended ends with its own code", async (t) => {
  for (const name of PROGRAMS) t.equal(await unread(name, "--help"), 0, name);
});

test("[OPS-33] keygen leaves no key whose public half nobody has seen", async (t) => {
  const file = join(await temporaryDirectory(t), "key.pem");
  const { code, err } = redirected("> /dev/full", "sallyport-hub", "keygen", file);
  t.equal(code, 1);
  t.match(err, /file\.write-failed:.*ENOSPC.*no\s+key\s+was\s+made/su);
  t.notOk(existsSync(file));
  t.equal(await unread("sallyport-hub", "keygen", file), 1);
  t.notOk(existsSync(file));
  t.match(redirected("", "sallyport-hub", "keygen", file), { code: 0, out: /public key/u });
  t.ok(existsSync(file));
});

/** Words before a program, to start it with both outputs on a full disk. */
const ON_FULL_DISK = ["/bin/sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh"];

const startedSchema = v.object({ event: v.literal("hub.started"), detail: v.object({ estPort: v.number() }) });

/** An initialised hub, and its commands. */
async function initialised(t: Test) {
  const state = join(await temporaryDirectory(t), "hub");
  const hub = (...args: readonly string[]) => redirected("", "sallyport-hub", ...args, "--state", state);
  t.equal(hub("init", "--name", "Plant 7", "--host", "localhost").code, 0);
  const anchors = v.parse(hubAnchorsSchema, JSON.parse(hub("anchors").out));
  const serve: readonly string[] = ["serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--state", state];
  return { hub, anchors, serve };
}

type Initialised = Awaited<ReturnType<typeof initialised>>;

/** Has a running hub note something, which it prints, and waits until it is in its store. */
async function enrolSomebody(t: Test, { hub, anchors }: Initialised, estPort: number): Promise<void> {
  const address = { anchors, estPort, mqttPort: 0 };
  t.equal((await simpleEnrol(address, (await labDevice("gw-1")).csr)).status, 202);
  await eventually("the entry in the journal", async () => hub("alerts", "--all").out.includes("device.") || undefined);
  t.equal((await ask(address, "/healthz")).status, 200, "it goes on");
}

test("[OPS-32] a hub whose outputs are on a full disk serves, and ends in order", async (t) => {
  const lab = await initialised(t);
  const [command = "", ...args] = [...ON_FULL_DISK, process.execPath, programFile("sallyport-hub"), ...lab.serve];
  const hub = startProgram({ name: "hub", command, args });
  t.teardown(() => hub.stop("SIGKILL"));
  const estPort = await eventually("the hub's start in its journal", async () => {
    const entries = lab
      .hub("alerts", "--all", "--json")
      .out.split("\n")
      .filter((line) => line !== "");
    const started = entries.map((line) => v.safeParse(startedSchema, JSON.parse(line))).find(({ success }) => success);
    return started?.success === true ? started.output.detail.estPort : undefined;
  });
  await enrolSomebody(t, lab, estPort);
  t.same(await hub.stop(), { code: 0, signal: null });
});

test("[OPS-32] a hub whose readers have ended serves, and ends in order", async (t) => {
  const lab = await initialised(t);
  const words = ["-i", ...environment(), process.execPath, programFile("sallyport-hub"), ...lab.serve, "--json"];
  const hub = spawn("/usr/bin/env", words, { stdio: ["ignore", "pipe", "pipe"] });
  t.teardown(() => hub.kill("SIGKILL"));
  const estPort = await new Promise<number>((resolve) => {
    hub.stdout.once("data", (data) => resolve(v.parse(v.object({ estPort: v.number() }), JSON.parse(String(data))).estPort));
  });
  hub.stdout.destroy();
  hub.stderr.destroy();
  await enrolSomebody(t, lab, estPort);
  hub.kill("SIGTERM");
  t.equal(await new Promise((resolve) => void hub.once("exit", resolve)), 0);
});

test(
  "[OPS-32] warden and agent whose outputs are on a full disk work, and end in order",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig({ boardPrefix: ON_FULL_DISK });
    t.teardown(() => rig.stop());
    await rig.startHub();
    const warden = rig.launchWarden();
    const agent = rig.launchAgent();
    await untilStatus(rig, "a status with the warden's part", ({ audit }) => audit !== undefined);
    t.equal(rig.command("status").code, 0);
    t.same(await agent.stop(), { code: 0, signal: null });
    t.same(await warden.stop(), { code: 0, signal: null });
  },
);

/** Sends SIGUSR1 to a program, and SIGTERM after it has done what `between` waits for. */
async function asksForTheInspector(t: Test, program: RunningProgram, between: () => Promise<unknown>): Promise<void> {
  process.kill(program.pid, "SIGUSR1");
  await between();
  t.same(await program.stop(), { code: 0, signal: null }, program.name);
  t.notMatch(program.lines.join("\n"), /inspector|debugger/iu, `${program.name} opens none`);
}

test(
  "[OPS-34] SIGUSR1 opens no inspector in hub, warden and agent as a person starts them, and ends none",
  { skip: needs("bundles") },
  async (t) => {
    const control = startProgram({
      name: "node",
      command: process.execPath,
      args: ["-e", "console.log('up');setInterval(()=>{},1000)"],
    });
    t.teardown(() => control.stop("SIGKILL"));
    await control.line(/up/u);
    process.kill(control.pid, "SIGUSR1");
    t.match(await control.line(/inspector|debugger/iu), /./u, "as Node does by itself");
    await control.stop("SIGKILL");

    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const warden = await rig.startWarden();
    const agent = await rig.startAgent();
    await untilStatus(rig, "a status", ({ audit }) => audit !== undefined);
    await asksForTheInspector(t, agent, () => rig.status());
    await asksForTheInspector(t, hub, () => rig.hub.command("devices", "list"));
    await asksForTheInspector(t, warden, async () => undefined);
  },
);
