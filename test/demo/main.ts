// `npm run demo`: a simulated board and a hub from the first power-on, with real parts where the
// machine has them. Every line reports what was really done; the exit code is 0 only if every step
// happened.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { buildAll } from "../../build/bundle.ts";
import { createNarrator, type StepReport } from "./narrate.ts";
import { play } from "./play.ts";
import { buildWorld, type World } from "./world.ts";

const USAGE = `usage: npm run demo [-- --json | --keep | --verbose | --log | --help]

Plays the life of a simulated gateway: key, certificate request, approval, certificate, tunnel; a
policy that shuts its ports; three releases, one of them good; a technician's login; the audit trail.
Some steps attack the gateway. The last five lines say what was attacked and what held.

  --verbose   show the evidence of every step
  --json      print one event a line, a summary last (npm run -s keeps npm's own lines out)
  --keep      leave everything running and explain how to use it; Ctrl-C ends it
  --log       show what the programs print, on stderr
  --help      print this text

Exit codes: 0 every step happened, 1 a step failed, 2 wrong usage, 130 interrupted.
`;

/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

interface Options {
  readonly json: boolean;
  readonly keep: boolean;
  readonly verbose: boolean;
  readonly log: boolean;
}

const chosen = options();
if (chosen === "help") process.stdout.write(USAGE);
else if (chosen === "wrong") process.exitCode = 2;
else process.exitCode = await run(chosen);

function options(): Options | "help" | "wrong" {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values } = parseArgs({ options: { json: flag, keep: flag, verbose: flag, log: flag, help: flag } });
    return values.help ? "help" : values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : "wrong usage"}\n\n${USAGE}`);
    return "wrong";
  }
}

async function run({ json, keep, verbose, log }: Options): Promise<number> {
  const narrator = createNarrator(process.stdout, { json, verbose });
  const interrupt = new AbortController();
  const interrupted = once(interrupt.signal, "abort");
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  narrator.note("Sallyport demo: a simulated gateway from its first power-on, built on real parts\n");
  const tail: string[] = [];
  const heard = (program: string, line: string): void => {
    tail.push(`  ${program}: ${line.slice(0, 240)}`);
    if (tail.length > 40) tail.shift();
    if (log) process.stderr.write(`${program}: ${line}\n`);
  };
  const made: { world: Promise<World> | undefined } = { world: undefined };
  const played = (async () => {
    const world = await narrator.step("Build the programs and set up the board", async (report) => {
      await describeBundles(report);
      made.world = buildWorld(heard);
      const laidOut = await made.world;
      describeWorld(laidOut, report);
      return laidOut;
    });
    for (const { what, why } of world.missing) narrator.skipped(what, why);
    await play(world, narrator);
    if (!keep) return undefined;
    // before the wait: the time that somebody looks around does not count
    const code = narrator.summary();
    narrator.note(howToPoke(world));
    return code;
  })();
  const how = await Promise.race([
    played.then(
      (kept) => kept ?? ("played" as const),
      // a terminal's Ctrl-C reaches the programs too: a step that fails then proves nothing
      () => (interrupt.signal.aborted ? ("interrupted" as const) : ("failed" as const)),
    ),
    interrupted.then(() => "interrupted" as const),
  ]);
  // the step has shown its fault; the last lines of the programs help to explain it
  if (how === "failed" && !json) narrator.note(`\nlast lines of the programs:\n${tail.join("\n")}`);
  if (typeof how === "number") await interrupted;
  if (how === "interrupted") narrator.note("\ninterrupted: stopping the programs and removing the set-up");
  // a set-up that was interrupted counts too; one that failed has removed itself
  await made.world?.then(
    (world) => world.stop(),
    () => undefined,
  );
  // the steps wait for events that will not come
  if (how === "interrupted") process.exit(EXIT_INTERRUPTED);
  return typeof how === "number" ? how : narrator.summary();
}

async function describeBundles(report: StepReport): Promise<void> {
  const { deviceBytes, addonBytes } = await buildAll();
  report.evidence(
    "on the device",
    `${Math.round(deviceBytes / 1024)} KiB of JavaScript, ${Math.round(addonBytes / 1024)} KiB of native add-on`,
  );
}

function describeWorld({ tpm, cable, network, rig }: World, report: StepReport): void {
  const parts = [
    tpm && "swtpm as TPM 2.0",
    cable && "a pty as serial line",
    network && `network namespace ${network.name}`,
    rig.twoUsers && "two users",
  ];
  report.evidence("board", `${rig.directory}/board (simulated: DMI, network interfaces, USB tree, slots)`);
  const real = parts.filter(Boolean).join(", ") || "none";
  report.evidence("real parts", real);
  report.result(`real parts: ${real}`);
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
    "\nEverything keeps running. In another terminal:",
    ...serial,
    `  the board         ${board} status`,
    `  its audit trail   ${board} audit tail`,
    `  its open ports    ${board} lockdown show`,
    `  the hub           ${hub} devices list --state ${rig.directory}/hub`,
    `  a login's answer  ${hub} answer CHALLENGE --key ${technician.keyFile}      (CHALLENGE: as "login" on the serial line shows it)`,
    `  a signed order    ${hub} order ID system.reboot --key ${technician.keyFile} --state ${rig.directory}/hub`,
    `  a signed release  ${node} ${rig.directory}/opt/sallyport-release/main.js --help      (its keys: ${rig.directory}/release)`,
    "\nCtrl-C stops and removes everything.",
  ].join("\n");
}
