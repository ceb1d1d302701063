// sallyport-agent: reads its configuration, takes the state lock, finds where its key lies, lives until told to stop.
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
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
  journal,
  linuxAppendFiles,
  linuxClock,
  linuxFiles,
  linuxVitals,
  listenUnix,
  lockState,
  reasonOf,
  requiredConfigFile,
  restartWith,
  runMain,
  systemTpmProvider,
  tpmKeyStore,
  type TpmProvider,
} from "../hal/linux/index.ts";
import { linuxSerialPort } from "../hal/linux/serial/index.ts";
import type { DurableFiles } from "../hal/ports.ts";
import { type HubAnchors, HUB_ANCHORS_BYTES_MAX } from "../ota/anchors/format.ts";
import { settleKey } from "../provisioning/index.ts";

const NAME = "sallyport-agent";
const VERSION = "0.1.0";
const PROGRAM = `${NAME}/${VERSION}`;
const WARDEN_CONNECT_MS_MAX = 5_000;

const say = journal(NAME);

async function load(file: string): Promise<{ readonly config: AgentConfig; readonly anchors: HubAnchors }> {
  const bytes = await requiredConfigFile(file, CONFIG_BYTES_MAX, "configuration", "name it with --config");
  const config = parseAgentConfig(bytes, file);
  const hint = `put there what "sallyport-hub anchors" prints`;
  const anchors = await requiredConfigFile(config.anchors, HUB_ANCHORS_BYTES_MAX, "hub anchors", hint);
  return { config, anchors: parseAnchors(anchors, config.anchors) };
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

/** The lock first: whoever does not hold it must not even tidy up. [STA-3] */
async function live(file: string, stop: AbortSignal): Promise<void> {
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
    listen: listenUnix,
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

await runMain({
  name: NAME,
  version: VERSION,
  purpose:
    "The network-facing program: makes the device's key and certificate request, enrols at the hub, keeps the tunnel, serves the serial console.",
  configFile: "/etc/sallyport/agent.json",
  check: async (file) => (await load(file)).config,
  live,
});
