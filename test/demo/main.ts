// `npm run demo`: a simulated board and the embedded hub, from the first power-on on, with real parts where the machine has them.
// Every line says what was really done; exit code 0 only if each step really happened.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { buildAll } from "../../build/bundle.ts";
import { createNarrator, type Say } from "./narrate.ts";
import { play } from "./play.ts";
import { buildWorld, type World } from "./world.ts";

const USAGE = `usage: npm run demo [-- --json | --keep | --verbose | --help]

Plays the life of a simulated gateway: key, certificate request, approval, certificate, tunnel; a policy that shuts its doors; three
releases, of which one is good; a technician's login; the audit trail that tells it all.

  --json      one event a line; the last is a summary (npm run -s keeps npm's own lines out)
  --keep      leave everything running and say how to poke at it; Ctrl-C ends it
  --verbose   show what the programs print, on stderr
  --help      this text

Exit code 0 only if each step really happened, else 1; 2 for wrong usage, 130 when interrupted.
`;

/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

interface Options {
  readonly json: boolean;
  readonly keep: boolean;
  readonly verbose: boolean;
}

const wanted = options();
if (wanted === "help") process.stdout.write(USAGE);
else if (wanted === "wrong") process.exitCode = 2;
else process.exitCode = await run(wanted);

function options(): Options | "help" | "wrong" {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({ options: { json: flag, keep: flag, verbose: flag, help: flag } });
    return values.help ? "help" : values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : "wrong usage"}\n\n${USAGE}`);
    return "wrong";
  }
}

async function run({ json, keep, verbose }: Options): Promise<number> {
  const narrator = createNarrator(process.stdout, json);
  const interrupt = new AbortController();
  const interrupted = once(interrupt.signal, "abort");
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  narrator.note("Sallyport: a simulated board from its first power-on on, on real parts\n");
  const tail: string[] = [];
  const heard = (program: string, line: string): void => {
    tail.push(`  ${program}: ${line.slice(0, 240)}`);
    if (tail.length > 40) tail.shift();
    if (verbose) process.stderr.write(`${program}: ${line}\n`);
  };
  const made: { world: Promise<World> | undefined } = { world: undefined };
  const played = (async () => {
    const world = await narrator.step("Set-up: bundles are built, the board's parts are laid out", async (say) => {
      await describeBundles(say);
      made.world = buildWorld(heard);
      const laidOut = await made.world;
      describeWorld(laidOut, say);
      return laidOut;
    });
    for (const { what, why } of world.missing) narrator.skipped(what, why);
    await play(world, narrator);
    if (!keep) return undefined;
    const code = narrator.summary(); // now: how long somebody looks around is not how long it took
    narrator.note(howToPoke(world));
    return code;
  })();
  const how = await Promise.race([
    played.then(
      (kept) => kept ?? ("played" as const),
      // a terminal's Ctrl-C reaches the programs too: a step that fails by it says nothing of them
      () => (interrupt.signal.aborted ? ("interrupted" as const) : ("failed" as const)),
    ),
    interrupted.then(() => "interrupted" as const),
  ]);
  // the step has said why; what the programs said last helps to find out more
  if (how === "failed" && !json) narrator.note(`\nlast words of the programs:\n${tail.join("\n")}`);
  if (typeof how === "number") await interrupted;
  if (how === "interrupted") narrator.note("\ninterrupted: stopping the programs, removing what was laid out");
  // also what is half laid out; where laying out failed it was taken away already, and the step has said why
  await made.world?.then(
    (world) => world.stop(),
    () => undefined,
  );
  if (how === "interrupted") process.exit(EXIT_INTERRUPTED); // what the play waits for will not come
  return typeof how === "number" ? how : narrator.summary();
}

async function describeBundles(say: Say): Promise<void> {
  const { deviceBytes, addonBytes } = await buildAll();
  say(
    "on the device",
    `${Math.round(deviceBytes / 1024)} KiB of JavaScript, ${Math.round(addonBytes / 1024)} KiB of native add-on`,
  );
}

function describeWorld({ tpm, cable, network, rig }: World, say: Say): void {
  const parts = [
    tpm && "swtpm as TPM 2.0",
    cable && "a pty as serial line",
    network && `network namespace ${network.name}`,
    rig.twoUsers && "two users",
  ];
  say("board", `${rig.directory}/board (simulated: DMI, network interfaces, USB tree, slots)`);
  say("real parts", parts.filter(Boolean).join(", ") || "none");
}

function howToPoke({ rig, cable, technician }: World): string {
  const node = `${rig.directory}/opt/node`;
  const board = `${node} ${rig.directory}/opt/sallyport/main.js --socket ${rig.board.agentRun}/root.sock`;
  const hub = `${node} ${rig.directory}/opt/sallyport-hub/main.js`;
  const serial =
    cable === undefined
      ? []
      : [`  the serial line   socat -,rawer,escape=0x1d ${cable.hostPath}      (Enter, then: status; Ctrl-] ends)`];
  return [
    "\nEverything is left running. In another terminal:",
    ...serial,
    `  the board         ${board} status`,
    `  its audit trail   ${board} audit tail`,
    `  its doors         ${board} lockdown show`,
    `  the hub           ${hub} devices list --state ${rig.directory}/hub`,
    `  a login's answer  ${hub} answer CHALLENGE --key ${technician.keyFile}      (CHALLENGE: as "login" on the serial line shows it)`,
    `  a signed order    ${hub} order ID system.reboot --key ${technician.keyFile} --state ${rig.directory}/hub`,
    `  a signed release  ${node} ${rig.directory}/opt/sallyport-release/main.js --help      (its keys: ${rig.directory}/release)`,
    "\nCtrl-C stops it all and removes it.",
  ].join("\n");
}
