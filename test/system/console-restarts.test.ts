// An agent that ends over and over: the technician at the serial line gets an answer after each of
// its starts, more often than any usual limit of starts allows.
import { test } from "tap";
import { openTerminal } from "../demo/terminal.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";
import { needs } from "../lab/runner/needs.ts";
import { HANG_MS } from "../lab/runner/process.ts";
import { AGENT_UID, buildRig } from "../lab/worlds/rig.ts";

/** systemd's usual limit is five starts. */
const STARTS = 7;

test(
  "[OPS-28] [CON-13] an agent that ends over and over still answers a key and a login at the console after each start",
  { skip: needs("socat", "bundles") },
  async (t) => {
    const cable = await startPtyPair(process.getuid?.() === 0 ? { deviceUser: AGENT_UID } : {});
    t.teardown(() => cable.stop());
    const rig = await buildRig({ agentConfig: { console: { path: cable.devicePath } } });
    t.teardown(() => rig.stop());
    await (await rig.startHub()).stop();
    await rig.startWarden();
    const terminal = await openTerminal(cable.hostPath);
    t.teardown(() => terminal.close());
    for (let start = 0; start < STARTS; start += 1) {
      // typed while no program has the line open, as far as the kernel keeps it
      if (start > 0) await terminal.type("\r");
      const agent = rig.launchAgent();
      if (start === 0) {
        await terminal.until(/press Enter/u, HANG_MS);
        await terminal.type("\r");
      }
      await terminal.until(/> $/u, HANG_MS);
      await terminal.type("login\r");
      const said = await terminal.until(/> $/u, HANG_MS);
      t.match(said, /login|answer|roster/iu, `start ${start}`);
      // half a line, which ends with the agent that has read it
      await terminal.type("stat");
      await terminal.until(/stat$/u, HANG_MS);
      t.match(await agent.stop("SIGKILL"), { signal: "SIGKILL" });
    }
  },
);
