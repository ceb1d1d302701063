// `npm run demo`: the first power-on of a simulated board against the embedded hub, with real parts where the machine has them.
// Every line says what was really done; exit code 0 only if each step really happened.
import { parseArgs } from "node:util";
import { buildAll } from "../../build/bundle.ts";
import { createNarrator } from "./narrate.ts";
import { play } from "./play.ts";
import { buildWorld } from "./world.ts";

const USAGE = `usage: npm run demo [-- --json | --keep | --verbose | --help]

Plays the first power-on of a simulated gateway: key, certificate request, approval, certificate, tunnel, audit trail.

  --json      one event a line; the last is a summary
  --keep      leave everything running and say how to poke at it; Ctrl-C ends it
  --verbose   show what the programs print, on stderr
  --help      this text

Exit code 0 only if each step really happened, else 1.
`;

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) process.stdout.write(USAGE);
else process.exitCode = await run();

async function run(): Promise<number> {
  const narrator = createNarrator(process.stdout, values.json);
  const interrupted = new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  narrator.note("Sallyport: first power-on of a simulated board, on real parts\n");
  const tail: string[] = [];
  const heard = (program: string, line: string): void => {
    tail.push(`${program}: ${line}`);
    if (tail.length > 40) tail.shift();
    if (values.verbose) process.stderr.write(`${program}: ${line}\n`);
  };
  const world = await narrator.step("Set-up: bundles are built, the board's parts are laid out", async (say) => {
    const sizes = await buildAll();
    say(
      "on the device",
      `${Math.round(sizes.deviceBytes / 1024)} KiB of JavaScript, ${Math.round(sizes.addonBytes / 1024)} KiB of native add-on`,
    );
    const built = await buildWorld(heard);
    const { tpm, cable, network, rig } = built;
    say("board", `${rig.directory}/board (simulated: DMI, network interfaces, USB tree, slots)`);
    say(
      "real parts",
      [
        tpm && "swtpm as TPM 2.0",
        cable && "a pty as serial line",
        network && `network namespace ${network.name}`,
        rig.twoUsers && "two users",
      ]
        .filter(Boolean)
        .join(", ") || "none",
    );
    return built;
  });
  for (const { what, why } of world.missing) narrator.skipped(what, why);
  try {
    await play(world, narrator);
    if (values.keep) await keep();
  } catch {
    // the step has said why; what the programs said last helps to find out more
    if (!values.json) narrator.note(`\nlast words of the programs:\n${tail.map((line) => `  ${line}`).join("\n")}`);
  } finally {
    await world.stop();
  }
  return narrator.summary();

  async function keep(): Promise<void> {
    const { rig, cable } = world;
    const node = `${rig.directory}/opt/node`;
    narrator.note(
      [
        "\nEverything is left running. In another terminal:",
        ...(cable === undefined
          ? []
          : [`  the serial line   socat -,rawer,escape=0x1d ${cable.hostPath}      (Enter, then: status; Ctrl-] ends)`]),
        `  the board         ${node} ${rig.directory}/opt/sallyport/main.js --socket ${rig.board.agentRun}/root.sock status`,
        `  its audit trail   ${node} ${rig.directory}/opt/sallyport/main.js --socket ${rig.board.agentRun}/root.sock audit tail`,
        `  the hub           ${node} ${rig.directory}/opt/sallyport-hub/main.js devices list --state ${rig.directory}/hub`,
        "\nCtrl-C stops it all and removes it.",
      ].join("\n"),
    );
    await interrupted;
  }
}
