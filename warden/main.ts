// sallyport-warden: reads its configuration, takes the state lock, opens the warden and its socket, serves until told to stop.
// Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration (sysexits.h EX_CONFIG).
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { asFault, Fault } from "../hal/fault.ts";
import {
  linuxAppendFiles,
  linuxClock,
  linuxFiles,
  linuxHardware,
  linuxVitals,
  lockState,
  readConfigFile,
  simulatedClock,
} from "../hal/linux/index.ts";
import { HUB_ANCHORS_BYTES_MAX } from "../ota/anchors/format.ts";
import { type HubKeys, parseHubKeys } from "./anchors.ts";
import { CONFIG_BYTES_MAX, parseConfig, type WardenConfig } from "./config.ts";
import { serveSocket } from "./socket/index.ts";
import { clockBounds } from "./time/index.ts";
import { openWarden } from "./warden.ts";

const VERSION = "0.1.0";
const PROGRAM = `sallyport-warden/${VERSION}`;
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;
const EXIT_CONFIG = 78;

const USAGE = `usage: sallyport-warden --config FILE [--check-config]
       sallyport-warden --help | --version

The only program that changes the machine: keeps the audit log, sets the clock, tells the agent who the device is.

  --config FILE     configuration, JSON; /etc/sallyport/warden.json when not given
  --check-config    say whether the configuration is right, and end
  --help            this text
  --version         name and version

Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration.
`;

/** One line an event for the journal, which adds the time. What came from outside is in it, so its control characters are not. */
function say(line: string): void {
  process.stderr.write(`sallyport-warden: ${line.replaceAll(/[\u0000-\u001f\u007f-\u009f]/gu, "?")}\n`);
}

interface Options {
  readonly file: string;
  readonly checkOnly: boolean;
}

/** @throws Fault `usage.invalid`. */
function options(): Options | "help" | "version" {
  try {
    const { values } = parseArgs({
      options: {
        config: { type: "string", default: "/etc/sallyport/warden.json" },
        "check-config": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        version: { type: "boolean", default: false },
      },
    });
    if (values.help) return "help";
    return values.version ? "version" : { file: values.config, checkOnly: values["check-config"] };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

async function loadConfig(file: string): Promise<{ readonly config: WardenConfig; readonly configHash: string }> {
  const bytes = await readConfigFile(file, CONFIG_BYTES_MAX);
  if (bytes === undefined) throw new Fault("config.unreadable", `read "${file}": there is no such file; name it with --config`);
  return { config: parseConfig(bytes, file), configHash: createHash("sha256").update(bytes).digest("hex") };
}

/** Anchors that are missing or broken leave the hub without a voice; the device runs on and says so. */
async function loadHubKeys(file: string): Promise<HubKeys | Fault> {
  try {
    const bytes = await readConfigFile(file, HUB_ANCHORS_BYTES_MAX);
    return bytes === undefined
      ? new Fault("config.unreadable", `hub anchors "${file}": there is no such file; hub time and the witness are not believed`)
      : parseHubKeys(bytes, file);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** Resolves with the name of the first signal that asks us to end. A second one ends the process at once, as signals do. */
function toldToStop(): Promise<string> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve("SIGTERM"));
    process.once("SIGINT", () => resolve("SIGINT"));
  });
}

/** The lock first: whoever does not hold it must not even tidy up. [STA-3] */
async function serve(file: string): Promise<void> {
  const stop = toldToStop();
  const { config, configHash } = await loadConfig(file);
  const lock = await lockState(config.stateDirectory);
  try {
    await serveLocked(config, configHash, stop);
  } finally {
    await lock.release();
  }
}

/** Settles records and log, then opens the socket; what began is answered before the log is closed. */
async function serveLocked(config: WardenConfig, configHash: string, stop: Promise<string>): Promise<void> {
  const hubKeys = await loadHubKeys(config.anchors);
  const { boardRoot, commissionedIdFile } = config;
  const clock = config.setClock ? linuxClock() : simulatedClock();
  await using auditLog = await linuxAppendFiles(`${config.stateDirectory}/audit`);
  const warden = await openWarden(
    {
      state: await linuxFiles(config.stateDirectory),
      birth: await linuxFiles(config.birthDirectory),
      auditLog,
      clock,
      hardware: linuxHardware({ root: boardRoot, ...(commissionedIdFile === undefined ? {} : { commissionedIdFile }) }),
      vitals: linuxVitals(),
      say,
    },
    {
      program: PROGRAM,
      bounds: clockBounds(config.buildDateMs),
      hubKeys: hubKeys instanceof Fault ? undefined : hubKeys,
      clockOutlivesUs: config.setClock,
      audit: config.audit,
      configHash,
      troubles: hubKeys instanceof Fault ? [hubKeys] : [],
    },
  );
  const server = await serveSocket({
    path: config.socket,
    clock,
    open: (send, signal) => warden.openSession(send, signal),
    refused: (fault) => warden.refused(fault),
    report: (fault) => warden.report(fault),
  });
  say(`device "${warden.identity.id}" (${warden.identity.source}), listening on "${config.socket}"`);
  const reason = await stop;
  await server.close();
  await warden.stop(reason);
  say(`stopped by ${reason}`);
}

async function run(): Promise<void> {
  const chosen = options();
  if (chosen === "help") process.stdout.write(USAGE);
  else if (chosen === "version") process.stdout.write(`${PROGRAM}\n`);
  else if (chosen.checkOnly) {
    const { config } = await loadConfig(chosen.file);
    process.stdout.write(`"${chosen.file}" is right: ${JSON.stringify(config)}\n`);
  } else await serve(chosen.file);
}

function exitCodeOf(fault: Fault): number {
  if (fault.code === "usage.invalid") return EXIT_USAGE;
  return fault.code.startsWith("config.") ? EXIT_CONFIG : EXIT_FAULT;
}

try {
  await run();
} catch (error) {
  const fault = asFault(error, "assert.broken", "run");
  say(`${fault.code}: ${fault.message}`);
  if (fault.code === "assert.broken" && error instanceof Error) say(error.stack ?? "no stack");
  process.exitCode = exitCodeOf(fault);
}
