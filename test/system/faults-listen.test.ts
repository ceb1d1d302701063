// Programs that cannot listen, or are stopped while they start: each ends with its message and its
// code, and nothing that it opened keeps it alive.
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { programFile } from "../lab/runner/programs.ts";
import { eventually, type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { SOCKET_PATH_BYTES_MAX } from "../../warden/socket/index.ts";
import { buildRig } from "../lab/worlds/rig.ts";
import { labWarden } from "../lab/worlds/warden.ts";
import type { TestContext } from "../lab/runner/context.ts";

const skip = needs("bundles");

const ended = async (program: RunningProgram) => {
  const { code, signal } = await program.ended;
  return { code, signal, said: program.lines.join("\n") };
};

test(
  "[OPS-12] a path that no socket can have, and a place that its user may not write, end warden and agent with message and code",
  { skip },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const socket = join(directory, "x".repeat(SOCKET_PATH_BYTES_MAX));
    const long = await ended((await labWarden(t, { config: { socket } })).launch());
    t.same([long.code, long.signal], [78, null]);
    t.match(long.said, /config\.invalid: /u);
    t.match(long.said, /socket/u);
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    await (await rig.startHub()).stop();
    await chmod(directory, 0o755);
    const closed = join(directory, "closed");
    await mkdir(closed, { mode: 0o700 });
    const cases = [
      ["long", socket, 1],
      ...(process.getuid?.() === 0 ? [["closed", join(closed, "a.sock"), 1] as const] : []),
    ] as const;
    for (const [what, localSocket, expected] of cases) {
      await rig.configure({ agentConfig: { localSocket } });
      const { code, signal, said } = await ended(rig.launchAgent());
      t.same([code, signal], [expected, null], `${what}: ${said}`);
      t.match(said, what === "long" ? /listen-failed: .*at most 107 bytes/u : /listen-failed: .*EACCES/u, what);
      t.notMatch(said, /left open/u, what);
    }
  },
);

/** Paths on which nothing can be bound. */
async function unusable(directory: string): Promise<Readonly<Record<string, string>>> {
  await mkdir(join(directory, "folder"));
  await writeFile(join(directory, "file"), "precious");
  return { missing: join(directory, "missing/w.sock"), folder: join(directory, "folder"), file: join(directory, "file") };
}

test(
  "[OPS-12] a warden that cannot listen ends with 1 and says why; its policy and its log are in order",
  { skip },
  async (t) => {
    for (const [what, socket] of Object.entries(await unusable(await temporaryDirectory(t)))) {
      const lab = await labWarden(t, { config: { socket } });
      const { code, said } = await ended(lab.launch());
      t.equal(code, 1, what);
      t.match(said, /socket\.listen-failed: /u, what);
      t.notMatch(said, /left open/u, `${what}: nothing had to be cut off`);
    }
  },
);

test("[OPS-12] an agent that cannot open its local socket ends with 1 and says why", { skip }, async (t) => {
  const rig = await buildRig();
  t.teardown(() => rig.stop());
  await (await rig.startHub()).stop();
  for (const [what, localSocket] of Object.entries(await unusable(await temporaryDirectory(t)))) {
    await rig.configure({ agentConfig: { localSocket } });
    const { code, said } = await ended(rig.launchAgent());
    t.equal(code, 1, what);
    t.match(said, /socket\.listen-failed: /u, what);
    t.notMatch(said, /left open/u, what);
  }
});

test("[OPS-12] a hub whose port is taken, for EST or for MQTT, ends with 1 and says which", { skip }, async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => void taken.listen(0, "127.0.0.1", () => resolve()));
  t.teardown(() => void taken.close());
  const port = String(addressOf(taken.address()).port);
  const state = join(await temporaryDirectory(t), "hub");
  const hub = (...args: readonly string[]): RunningProgram =>
    started(t, "hub", [programFile("sallyport-hub"), ...args, "--state", state]);
  t.equal((await ended(hub("init", "--name", "Plant 7", "--host", "localhost"))).code, 0);
  for (const [what, ...ports] of [
    ["EST", "--est-port", port, "--mqtt-port", "0"],
    ["MQTT", "--est-port", "0", "--mqtt-port", port],
    // an address that this machine does not have, RFC 5737
    ["MQTT", "--est-port", "0", "--mqtt-port", "0", "--listen", "192.0.2.1"],
  ] as const) {
    const { code, said } = await ended(hub("serve", "--listen", "127.0.0.1", ...ports));
    t.equal(code, 1, what);
    t.match(said, new RegExp(`hub\\.listen-failed: listen for ${what} on`, "u"));
    t.notMatch(said, /left open/u, what);
  }
});

test("[OPS-12] SIGTERM during the start is obeyed: warden, agent and hub end in order", { skip }, async (t) => {
  const rig = await buildRig();
  t.teardown(() => rig.stop());
  await (await rig.startHub()).stop();
  for (const [launch, state] of [
    [() => rig.launchWarden(), rig.board.wardenState],
    [() => rig.launchAgent(), rig.board.agentState],
  ] as const) {
    const program = launch();
    // with the lock it has its handlers, and most of the start lies before it
    await eventually(
      "the lock is taken",
      async () => ((await readdir(state)).includes(".lock") ? true : undefined),
      undefined,
      1,
    );
    t.same(await program.stop(), { code: 0, signal: null }, program.lines.join("\n"));
  }
  const hubState = join(await temporaryDirectory(t), "hub");
  const hub = (...args: readonly string[]): RunningProgram => started(t, "hub", [programFile("sallyport-hub"), ...args]);
  await ended(hub("init", "--name", "Plant 7", "--host", "localhost", "--state", hubState));
  const before = await readdir(hubState);
  const serving = hub("serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--state", hubState);
  await eventually(
    "the hub begins",
    async () => ((await readdir(hubState)).length > before.length ? true : undefined),
    undefined,
    1,
  );
  t.same(await serving.stop(), { code: 0, signal: null }, serving.lines.join("\n"));
});

function started(t: TestContext, name: string, args: readonly string[]): RunningProgram {
  const program = startProgram({ name, command: process.execPath, args });
  t.teardown(() => program.stop("SIGKILL"));
  return program;
}

function addressOf(address: AddressInfo | string | null): AddressInfo {
  if (typeof address !== "object" || address === null) throw new RangeError("a TCP server has an address");
  return address;
}
