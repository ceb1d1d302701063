// sallyport-agent: reads its configuration, takes the state lock, finds where its key lies, lives until told to stop.
import { connect } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { type AgentConfig, CONFIG_BYTES_MAX, parseAgentConfig, parseAnchors } from "./config.ts";
import { createAgent } from "./agent.ts";
import type { SettledKey } from "./identity/index.ts";
import type { ReleasePlaces } from "./releases/index.ts";
import { asFault, Fault } from "../hal/fault.ts";
import type { BirthRecord } from "../hal/format/identity.ts";
import {
  activateTpmProvider,
  chooseKeyStore,
  fileKeyStore,
  isStartedWith,
  isTpmProviderActive,
  journal,
  linuxAppendFiles,
  linuxClock,
  linuxHandoverWriter,
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
import { type HubAnchors, HUB_ANCHORS_BYTES_MAX } from "../ota/format/anchors.ts";
import { httpRepository } from "../ota/http/index.ts";
import { ROOT_BYTES_MAX } from "../ota/trust/index.ts";
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

/** OpenSSL within this process reads once, before any of our code, which providers it has, and loads that of a TPM only when the TPM answers then. [ID-4] */
type TpmAtStart = "there" | "away" | "unused";

async function tpmAtStart(config: AgentConfig, files: DurableFiles): Promise<TpmAtStart> {
  try {
    return (await chooseKeyStore(stores(config, files))).store.protection === "tpm" ? "there" : "unused";
  } catch (error) {
    if (error instanceof Fault && error.code === "key.tpm-unavailable") return "away";
    if (error instanceof Fault && error.code === "key.mismatch") return "unused"; // nothing to use: the agent says so where it is asked
    throw error;
  }
}

/** What this process must have been started with, so that TLS can use the key. */
async function environmentFor(tpm: TpmAtStart, config: AgentConfig, files: DurableFiles): Promise<Environment> {
  if (tpm === "unused") return {};
  return activateTpmProvider({ files, directory: config.stateDirectory, provider: tpmProvider(config) });
}

function stores(config: AgentConfig, files: DurableFiles): Parameters<typeof chooseKeyStore>[0] {
  return {
    wanted: config.key.protection,
    tpm: tpmKeyStore({ files, provider: tpmProvider(config) }),
    file: fileKeyStore({ files }),
  };
}

interface Life {
  readonly config: AgentConfig;
  readonly anchors: HubAnchors;
  readonly files: DurableFiles;
  readonly tpm: TpmAtStart;
  /** Aborted when only another start of this process helps. */
  readonly again: AbortController;
}

/** [ID-6] The key of the birth record, or a new one where there was never a birth. */
async function settle({ config, files, tpm, again }: Life, birth: BirthRecord | undefined): Promise<SettledKey> {
  const found = await chooseKeyStore(stores(config, files));
  if (found.store.protection === "tpm" && tpm !== "there") {
    again.abort("itself, to begin again: the TPM answers now");
    throw new Fault(
      "key.tpm-unavailable",
      "use the device key: the TPM did not answer when this process began, which begins again",
    );
  }
  const key = await settleKey(found, birth);
  if (key.protection === "tpm" && !isTpmProviderActive(key.tlsKey()))
    throw new Fault(
      "key.tpm-unavailable",
      `use the device key for TLS: OpenSSL in this process did not load the provider "${tpmProvider(config).module}"; install one that fits it`,
    );
  return { key, made: found.key === undefined, note: found.note };
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

/** Where the hub serves its repository, on the port of its EST. [OTA-37] */
const REPOSITORY_PREFIX = "/repository";

/** Our certificate is not shown: what is published is signed and no secret, and a TPM has few places for keys. */
function releasePlaces(config: AgentConfig, { host, estPort: port, authority }: HubAnchors): ReleasePlaces {
  const connectTo = config.repository.connectTo ?? config.enrolment.connectTo;
  return {
    metadata: () => linuxFiles(join(config.stateDirectory, "trust")),
    imageRoot: () =>
      requiredConfigFile(config.trustRoot, ROOT_BYTES_MAX, "trust root", "without the image's root nothing new is taken"),
    drop: () => linuxHandoverWriter(config.handover ?? join(config.stateDirectory, "handover")),
    repository: () =>
      httpRepository({
        host,
        port,
        ...(connectTo !== undefined && { connectTo }),
        ...(config.tunnel.proxy !== undefined && { proxy: config.tunnel.proxy }),
        context: createSecureContext({ ca: authority, minVersion: config.tunnel.minTls }),
        prefix: REPOSITORY_PREFIX,
      }),
  };
}

/** The lock first: whoever does not hold it must not even tidy up. [STA-3] */
async function live(file: string, stop: AbortSignal): Promise<void> {
  const { config, anchors } = await load(file);
  const lock = await lockState(config.stateDirectory);
  try {
    const files = await linuxFiles(config.stateDirectory);
    const tpm = await tpmAtStart(config, files);
    const environment = await environmentFor(tpm, config, files);
    if (isStartedWith(process.env, environment)) {
      const again = new AbortController();
      await liveLocked({ config, anchors, files, tpm, again }, stop);
      if (!again.signal.aborted) return;
    }
    await lock.release();
    // a signal that has come is heard now: the process that replaces this one knows nothing of it. Twice: the first ends the loop's turn, in the second it asks for events
    await setImmediate();
    await setImmediate();
    if (!stop.aborted) restartWith(environment);
  } finally {
    await lock.release();
  }
}

async function liveLocked(life: Life, stop: AbortSignal): Promise<void> {
  const { config, anchors, files, again } = life;
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
    settleKey: (birth) => settle(life, birth),
    releases: releasePlaces(config, anchors),
    serial: config.console === undefined ? undefined : linuxSerialPort(config.console),
    log: say,
  });
  await agent.start();
  say(`${PROGRAM} started`);
  try {
    say(`told to stop by ${await Promise.race([reasonOf(AbortSignal.any([stop, again.signal])), agent.failed])}`);
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
