// Programs that are started with a wrong configuration, without their anchors, or twice. [STA-3]
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { approveOn, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import type { RunningProgram } from "../lab/runner/process.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const EX_CONFIG = 78;

const ended = async (program: RunningProgram) => ({ ...(await program.ended), said: program.lines.join("\n") });

test(
  "a wrong configuration is refused with every fault at once and exit code 78, before anything is touched",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    await (await rig.startHub()).stop();
    const files = { agent: join(rig.board.etc, "agent.json"), warden: join(rig.board.etc, "warden.json") };

    await rig.configure({
      agentConfig: {
        stateDirectory: "var/lib",
        key: { protection: "paper" },
        colour: "red",
        enrolment: { connectTo: { host: "h", port: 0 } },
      },
      wardenConfig: { stateDirectory: "var/lib", audit: { bytesMax: 1 }, setClock: "yes", colour: "red" },
    });
    for (const program of [await ended(rig.launchAgent()), await ended(rig.launchWarden())]) {
      t.equal(program.code, EX_CONFIG);
      t.match(program.said, /config\.invalid/u);
      t.match(program.said, /stateDirectory[^]*colour|colour[^]*stateDirectory/u, "all faults at once");
    }
    t.match((await ended(rig.launchAgent())).said, /protection[^]*port|port[^]*protection/u);
    t.match((await ended(rig.launchWarden())).said, /bytesMax[^]*setClock|setClock[^]*bytesMax/u);

    for (const [broken, why] of [
      ["{", /json\.invalid|config\.invalid/u],
      ["[]", /config\.invalid/u],
      [" ".repeat(70_000), /json\.too-large|config\.(?:invalid|unreadable)/u],
    ] as const) {
      await writeFile(files.agent, broken);
      await writeFile(files.warden, broken);
      t.match(await ended(rig.launchAgent()), { code: EX_CONFIG, said: why });
      t.match(await ended(rig.launchWarden()), { code: EX_CONFIG, said: why });
    }
    await rm(files.agent);
    await rm(files.warden);
    t.match(await ended(rig.launchAgent()), {
      code: EX_CONFIG,
      said: /config\.unreadable: .*no such file; name it with --config/u,
    });
    t.match(await ended(rig.launchWarden()), {
      code: EX_CONFIG,
      said: /config\.unreadable: .*no such file; name it with --config/u,
    });

    await rig.configure({});
    for (const name of ["agent", "warden"] as const) {
      const checked = rig.check(name);
      t.match({ name, ...checked }, { name, code: 0, stdout: /is valid/u });
    }
    await writeFile(files.agent, JSON.stringify({ colour: "red" }));
    t.match(rig.check("agent"), { code: EX_CONFIG, stderr: /colour/u });

    // Without anchors the agent does not start; the warden runs and trusts nobody.
    await rig.configure({});
    const anchors = join(rig.board.etc, "hub.json");
    for (const text of [undefined, "{}", '{"v":1,"authority":"nobody"}']) {
      if (text === undefined) await rm(anchors);
      else await writeFile(anchors, text);
      t.match(
        await ended(rig.launchAgent()),
        { code: EX_CONFIG, said: /config\.(?:unreadable|invalid): .*anchors|hub\.json/u },
        text ?? "no file",
      );
    }
    const warden = await rig.startWarden();
    t.match(warden.lines.join("\n"), /trouble: config\.(?:unreadable|invalid): .*hub\.json/u);
    t.same(await warden.stop(), { code: 0, signal: null });
    await rig.configure({});
  },
);

test(
  "[STA-3] a second agent or warden on the same state is refused with the owner's pid, and the first goes on",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    const warden = await rig.startWarden();
    const agent = await rig.startAgent();
    const other = join(rig.directory, "other-run");
    await mkdir(other, { mode: 0o777 });
    await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const key = await readFile(join(rig.board.agentState, "device-key.pem"), "utf8");

    for (const sockets of [{}, { agentConfig: { localSocket: join(other, "a") }, wardenConfig: { socket: join(other, "w") } }]) {
      await rig.configure(sockets);
      t.match(await ended(rig.launchAgent()), { code: 1, said: new RegExp(`lock\\.held: .*held by pid ${agent.pid}`, "u") });
      t.match(await ended(rig.launchWarden()), { code: 1, said: new RegExp(`lock\\.held: .*held by pid ${warden.pid}`, "u") });
    }

    t.equal(await readFile(join(rig.board.agentState, "device-key.pem"), "utf8"), key);
    t.match(await untilStatus(rig, "a status", () => true), { life: "connected", troubles: [], tunnel: { connections: 1 } });
    t.same(await agent.stop(), { code: 0, signal: null });
    t.same(await warden.stop(), { code: 0, signal: null });
    await rig.configure({});
    await rig.startWarden();
    await (await rig.startAgent()).line(/life .* -> connected/u);
    await verifiedTrail(rig, ID, ["warden.stopped", "agent.stopped"]);
    t.equal((await keysAtHub(rig, ID)).length, 1);
  },
);
