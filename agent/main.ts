// sallyport-agent: reads its configuration, takes the state lock, finds where its key lies, lives until told to stop.
// Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration (sysexits.h EX_CONFIG).
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type AgentConfig, CONFIG_BYTES_MAX, parseAgentConfig, parseAnchors } from "./config.ts";
import { createAgent } from "./agent.ts";
import type { SettledKey } from "./identity/index.ts";
import { asFault, Fault } from "../hal/fault.ts";
import type { BirthRecord } from "../hal/identity/format.ts";
import {
  activateTpmProvider,
  chooseKeyStore,
  fileKeyStore,
  isStartedWith,
  linuxAppendFiles,
  linuxClock,
  linuxFiles,
  linuxVitals,
  lockState,
  readConfigFile,
  restartWith,
  systemTpmProvider,
  tpmKeyStore,
  type TpmProvider,
} from "../hal/linux/index.ts";
import { linuxSerialPort } from "../hal/linux/serial/index.ts";
import type { DurableFiles } from "../hal/ports.ts";
import { type HubAnchors, HUB_ANCHORS_BYTES_MAX } from "../ota/anchors/format.ts";
import { settleKey } from "../provisioning/index.ts";

const VERSION = "0.1.0";
const PROGRAM = `sallyport-agent/${VERSION}`;
const EXIT_FAULT = 1;
const EXIT_USAGE = 2;
const EXIT_CONFIG = 78;
const WARDEN_CONNECT_MS_MAX = 5_000;

const USAGE = `usage: sallyport-agent --config FILE [--check-config]
       sallyport-agent --help | --version

The network-facing program: makes the device's key and certificate request, enrols at the hub, keeps the tunnel, serves the serial console.

  --config FILE     configuration, JSON; /etc/sallyport/agent.json when not given
  --check-config    say whether the configuration and the hub's anchors are right, and end
  --help            this text
  --version         name and version

Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration.
`;

/** One line an event for the journal, which adds the time. What came from outside is in it, so its control characters are not. */
function say(line: string): void {
  process.stderr.write(`sallyport-agent: ${line.replaceAll(/[\u0000-\u001f\u007f-\u009f]/gu, "?")}\n`);
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
        config: { type: "string", default: "/etc/sallyport/agent.json" },
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

async function required(path: string, bytesMax: number, hint: string): Promise<Uint8Array> {
  const bytes = await readConfigFile(path, bytesMax);
  if (bytes === undefined) throw new Fault("config.unreadable", `read "${path}": there is no such file; ${hint}`);
  return bytes;
}

async function load(file: string): Promise<{ readonly config: AgentConfig; readonly anchors: HubAnchors }> {
  const config = parseAgentConfig(await required(file, CONFIG_BYTES_MAX, "name it with --config"));
  const anchors = parseAnchors(
    await required(config.anchors, HUB_ANCHORS_BYTES_MAX, "it is version 1 of the hub's anchors, from the image"),
  );
  return { config, anchors };
}

type Environment = Readonly<Record<string, string>>;

function tpmProvider({ key: { tpm } }: AgentConfig): TpmProvider {
  return {
    module: tpm.module ?? systemTpmProvider().module,
    tcti: tpm.tcti,
    ...(tpm.libraryPath !== undefined && { libraryPath: tpm.libraryPath }),
  };
}

/**
 * A key in the TPM is used by OpenSSL within this very process, which must know the provider from its start on: where it does not, the process replaces itself.
 * A TPM that is away now may come back, so it is prepared for as well. [ID-4]
 * @returns the environment to start again with; undefined when this process has it, or needs none.
 */
async function environmentWanted(config: AgentConfig, files: DurableFiles): Promise<Environment | undefined> {
  if (!(await mayUseTpm(config, files))) return undefined;
  const wanted = await activateTpmProvider({ files, directory: config.stateDirectory, provider: tpmProvider(config) });
  return isStartedWith(process.env, wanted) ? undefined : wanted;
}

async function mayUseTpm(config: AgentConfig, files: DurableFiles): Promise<boolean> {
  try {
    return (await chooseKeyStore(stores(config, files))).store.protection === "tpm";
  } catch (error) {
    if (error instanceof Fault && error.code === "key.tpm-unavailable") return true;
    if (error instanceof Fault && error.code === "key.mismatch") return false; // nothing to use: the agent says so where it is asked
    throw error;
  }
}

function stores(config: AgentConfig, files: DurableFiles): Parameters<typeof chooseKeyStore>[0] {
  return {
    wanted: config.key.protection,
    tpm: tpmKeyStore({ files, provider: tpmProvider(config) }),
    file: fileKeyStore({ files }),
  };
}

/** [ID-6] The key of the birth record, or a new one where there was never a birth. */
async function settle(config: AgentConfig, files: DurableFiles, birth: BirthRecord | undefined): Promise<SettledKey> {
  const found = await chooseKeyStore(stores(config, files));
  return { key: await settleKey(found, birth), made: found.key === undefined, note: found.note };
}

function connectTo(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const late = setTimeout(
      () => socket.destroy(new Fault("protocol.closed", `connect to "${path}": no answer within ${WARDEN_CONNECT_MS_MAX} ms`)),
      WARDEN_CONNECT_MS_MAX,
    );
    socket.once("connect", () => {
      clearTimeout(late);
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", (error) => {
      clearTimeout(late);
      reject(asFault(error, "protocol.closed", `connect to the warden at "${path}"`));
    });
  });
}

/** Aborts with the first signal that asks us to end, whose name is the reason. A second one ends the process at once, as signals do. */
function toldToStop(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort(name));
  return stop.signal;
}

function reasonOf(stop: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const tell = (): void => resolve(String(stop.reason));
    if (stop.aborted) tell();
    else stop.addEventListener("abort", tell, { once: true });
  });
}

/** The lock first: whoever does not hold it must not even tidy up. [STA-3] */
async function live(file: string): Promise<void> {
  const stop = toldToStop();
  const { config, anchors } = await load(file);
  const lock = await lockState(config.stateDirectory);
  try {
    const files = await linuxFiles(config.stateDirectory);
    const environment = await environmentWanted(config, files);
    if (environment === undefined) return await liveLocked(config, anchors, files, stop);
    await lock.release();
    await setImmediate(); // a signal that has come is heard now: the process that replaces this one knows nothing of it
    if (!stop.aborted) restartWith(environment);
  } finally {
    await lock.release();
  }
}

async function liveLocked(config: AgentConfig, anchors: HubAnchors, files: DurableFiles, stop: AbortSignal): Promise<void> {
  await using spoolFiles = await linuxAppendFiles(join(config.stateDirectory, "spool"));
  const agent = createAgent({
    config,
    anchors,
    program: PROGRAM,
    files,
    spoolFiles,
    clock: linuxClock(),
    random: Math.random,
    vitals: linuxVitals(),
    connectWarden: () => connectTo(config.wardenSocket),
    settleKey: (birth) => settle(config, files, birth),
    serial: config.console === undefined ? undefined : linuxSerialPort(config.console),
    log: say,
  });
  await agent.start();
  say(`${PROGRAM} started`);
  try {
    say(`told to stop by ${await Promise.race([reasonOf(stop), agent.failed])}`);
  } finally {
    await agent.stop();
  }
}

async function main(): Promise<number> {
  const wanted = options();
  if (wanted === "help") process.stdout.write(USAGE);
  else if (wanted === "version") process.stdout.write(`${PROGRAM}\n`);
  else if (wanted.checkOnly) {
    await load(wanted.file);
    process.stdout.write(`configuration "${wanted.file}" is right\n`);
  } else await live(wanted.file);
  return 0;
}

function exitCode(fault: Fault): number {
  if (fault.code === "usage.invalid") return EXIT_USAGE;
  return fault.code.startsWith("config.") || fault.code.startsWith("json.") ? EXIT_CONFIG : EXIT_FAULT;
}

try {
  process.exitCode = await main();
} catch (error) {
  const fault = asFault(error, "assert.broken", "run");
  say(`${fault.code}: ${fault.message}`);
  if (fault.code === "assert.broken" && error instanceof Error) say(error.stack ?? "");
  process.exitCode = exitCode(fault);
}
