// sallyport-agent, the network-facing program: reads its configuration, takes the state lock, finds
// where its key is, and runs until a signal stops it.
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { type AgentConfig, CONFIG_BYTES_MAX, parseAgentConfig, parseAnchors } from "./config.ts";
import { createAgent } from "./agent.ts";
import type { AgentUpgradeKeys, SettledKey } from "./identity/index.ts";
import type { ReleasePlaces } from "./releases/index.ts";
import { createDamageLog, type DamageLog, isUnreadable, tolerateDamage } from "../hal/damaged-files.ts";
import { asFault, Fault } from "../hal/fault.ts";
import { paceLines } from "../hal/line-pace.ts";
import { hostAndPort } from "../hal/format/host.ts";
import { haveOneName, readPins } from "../hal/format/pins.ts";
import type { BirthRecord, Protection } from "../hal/format/identity.ts";
import {
  activateTpmProvider,
  chooseKeyStore,
  createFileKeyStore,
  createSealedKeyStore,
  isStartedWith,
  isTpmProviderActive,
  journal,
  linuxClock,
  linuxHandoverWriter,
  linuxFiles,
  linuxHardware,
  linuxVitals,
  listenUnix,
  lockState,
  ownAppendFiles,
  ownFiles,
  reasonOf,
  requiredConfigFile,
  restartWith,
  runMain,
  systemTpmProvider,
  createTpmKeyStore,
  type KeyStores,
  type TpmProvider,
} from "../hal/linux/index.ts";
import { linuxSerialPort } from "../hal/linux/serial/index.ts";
import type { DeviceKey, DurableFiles } from "../hal/ports.ts";
import { type HubAnchors, HUB_ANCHORS_BYTES_MAX, hubServices } from "../ota/format/anchors.ts";
import { createHttpRepository, createRepositoryByPins } from "../ota/http/index.ts";
import { ROOT_BYTES_MAX } from "../ota/trust/index.ts";
import { settleKey } from "../provisioning/index.ts";
import { secureContextFor } from "../provisioning/tls/index.ts";

const NAME = "sallyport-agent";
const VERSION = "0.1.0";
const PROGRAM = `${NAME}/${VERSION}`;
const WARDEN_CONNECT_MS_MAX = 5_000;

/** Agents, hubs and whoever plants files cause lines at will. [OPS-36] */
const log = paceLines(journal(NAME));

async function loadConfig(file: string): Promise<{ readonly config: AgentConfig; readonly anchors: HubAnchors }> {
  const bytes = await requiredConfigFile(file, CONFIG_BYTES_MAX, "configuration", "name it with --config");
  const config = parseAgentConfig(bytes, file);
  const hint = `put there what "sallyport-hub anchors" prints`;
  const anchors = await requiredConfigFile(config.anchors, HUB_ANCHORS_BYTES_MAX, "hub anchors", hint);
  return { config, anchors: parseAnchors(anchors, config.anchors) };
}

type Environment = Readonly<Record<string, string>>;

function tpmProviderOf({ key: { tpm } }: AgentConfig): TpmProvider {
  return {
    module: tpm.module ?? systemTpmProvider().module,
    tcti: tpm.tcti,
    ...(tpm.libraryPath !== undefined && { libraryPath: tpm.libraryPath }),
  };
}

/**
 * The TPM as OpenSSL found it. OpenSSL in this process reads once, before any of our code runs,
 * which providers it has, and loads that of a TPM only if the TPM answers at that moment. A sealed
 * key needs no provider: our own commands open it, and TLS gets it as any key. [ID-4] [ID-46]
 */
type TpmAtStart = "present" | "absent" | "unused";

async function tpmAtStart(config: AgentConfig, files: DurableFiles): Promise<TpmAtStart> {
  const stores = keyStoresOf(config, files);
  try {
    if ((await stores.tpm.load()) !== undefined) return "present";
  } catch (error) {
    return isAway(error) ? "absent" : unusedUnlessBroken(error);
  }
  try {
    return (await chooseKeyStore({ ...stores, wanted: config.key.protection, mayWait: true })).store.protection === "tpm"
      ? "present"
      : "unused";
  } catch (error) {
    return unusedUnlessBroken(error);
  }
}

function isAway(error: unknown): boolean {
  return error instanceof Fault && (error.code === "key.tpm-missing" || error.code === "key.tpm-unavailable");
}

/** No key can be used. The agent reports that when it needs one. */
function unusedUnlessBroken(error: unknown): "unused" {
  if (isUnreadable(error) || (error instanceof Fault && error.code.startsWith("key."))) return "unused";
  throw error;
}

/**
 * The variables that this process must have been started with, so that TLS can use the key. None
 * where the TPM does not answer: OpenSSL's provider would wait for a hung one before any of our
 * code runs, and nobody would read what is wrong. The process restarts once the TPM answers.
 */
async function environmentFor(tpm: TpmAtStart, config: AgentConfig, files: DurableFiles): Promise<Environment> {
  if (tpm !== "present") return {};
  return activateTpmProvider({ files, directory: config.stateDirectory, provider: tpmProviderOf(config) });
}

function keyStoresOf(config: AgentConfig, files: DurableFiles): KeyStores {
  const { tcti, parent } = config.key.tpm;
  return {
    tpm: createTpmKeyStore({ files, parent, provider: tpmProviderOf(config) }),
    sealed: createSealedKeyStore({ files, parent, tcti }),
    file: createFileKeyStore({ files }),
  };
}

interface LockedState {
  readonly config: AgentConfig;
  readonly anchors: HubAnchors;
  readonly files: DurableFiles;
  readonly damage: DamageLog;
  readonly tpm: TpmAtStart;
  /** Aborted when only another start of this process helps. */
  readonly restart: AbortController;
  /** How often TLS could not use the key, since this start. */
  readonly provider: { misses: number };
}

/**
 * [ID-48] How long, from the start of this program, the first key waits for a TPM that is there: it
 * keeps its protection for years, and somebody who commissions the device waits for it.
 */
const FIRST_KEY_WAIT_MS = 300_000;

/** [ID-6] The key of the birth record, or a new one where no birth was recorded. */
async function settle(state: LockedState, birth: BirthRecord | undefined): Promise<SettledKey> {
  const { config, files } = state;
  const choice = { wanted: config.key.protection, birth, explain: true, mayWait: performance.now() < FIRST_KEY_WAIT_MS };
  const found = await chooseKeyStore({ ...keyStoresOf(config, files), ...choice });
  expectTpmAtStart(state, found.store.protection);
  const key = await settleKey(found, birth);
  expectProvider(state, key);
  return { key, made: found.key === undefined, note: found.note };
}

/** @throws Fault `key.tpm-unavailable` where only another start of this process helps. */
function expectTpmAtStart({ tpm, restart }: LockedState, protection: Protection): void {
  if (protection !== "tpm" || tpm === "present") return;
  restart.abort("the TPM answers now, so the program restarts");
  throw new Fault(
    "key.tpm-unavailable",
    "use the device key: the TPM did not answer when this process started, so the process restarts",
  );
}

/**
 * OpenSSL looks for its provider once, at the start of the process. A TPM that was busy or away at
 * that moment leaves it out, and another start finds it. A module that never fits is tried less and
 * less often: each start waits for more misses than the one before.
 */
const MISSES_MAX = 2;
const RESTARTS = "SALLYPORT_PROVIDER_RESTARTS";
const RESTARTS_MAX = 1000;

function restartsFor({ [RESTARTS]: text }: NodeJS.ProcessEnv): number {
  return /^[0-9]{1,4}$/u.test(text ?? "") ? Number(text) : 0;
}

/** @throws Fault `key.tpm-unavailable` when TLS in this process cannot use the key. */
function expectProvider({ config, provider, restart }: LockedState, key: DeviceKey): void {
  if (key.protection !== "tpm" || isTpmProviderActive(key.tlsKey())) return;
  provider.misses += 1;
  if (provider.misses > MISSES_MAX * (restartsFor(process.env) + 1))
    restart.abort("OpenSSL did not load the TPM's provider at the last start, so the program restarts");
  throw new Fault(
    "key.tpm-unavailable",
    `use the device key for TLS: OpenSSL in this process did not load the provider "${tpmProviderOf(config).module}"; another start is tried, and where that does not help, install a module that fits this OpenSSL`,
  );
}

/** [ID-68] The keys that an order may put in the place of the present one. */
function upgradeKeysOf(state: LockedState): AgentUpgradeKeys {
  const stores = keyStoresOf(state.config, state.files);
  return {
    strongest: async () => {
      for (const one of ["tpm", "sealed"] as const) if ((await stores[one].unavailable()) === undefined) return one;
      return "file";
    },
    make: async (to) => {
      try {
        return await stores[to].create();
      } catch (error) {
        const isLess = error instanceof Fault && to === "tpm" && (await stores.sealed.unavailable()) === undefined;
        if (!isLess) throw error;
        throw new Fault(
          "key.weaker",
          `the order is for a key in the TPM, and here only one that the TPM seals can be made: ${error.message}; put that right, or order key.upgrade once more`,
        );
      }
    },
    load: (to) => stores[to].load(),
    prepare: async (key) => {
      expectTpmAtStart(state, key.protection);
      expectProvider(state, key);
    },
    remove: (protection) => stores[protection].remove(),
  };
}

function connectToWarden(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const timer = setTimeout(
      () => socket.destroy(new Fault("protocol.closed", `connect to "${path}": no answer within ${WARDEN_CONNECT_MS_MAX} ms`)),
      WARDEN_CONNECT_MS_MAX,
    );
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(asFault(error, "protocol.closed", `connect to the warden at "${path}"`));
    });
  });
}

/**
 * No client certificate is sent: what is published is signed and no secret, and a TPM has few
 * places for keys.
 */
function releasePlacesOf(config: AgentConfig, anchors: HubAnchors, { report }: DamageLog): ReleasePlaces {
  const { est, repository } = hubServices(anchors);
  const { host, port, authority, path: prefix } = repository;
  const pins = readPins(authority);
  const isBesideEst = hostAndPort(est) === hostAndPort(repository);
  const connectTo = config.repository.connectTo ?? (isBesideEst ? config.enrolment.connectTo : undefined);
  return {
    metadata: () => ownFiles(join(config.stateDirectory, "trust"), { report }),
    imageRoot: () =>
      requiredConfigFile(config.trustRoot, ROOT_BYTES_MAX, "trust root", "without the root of the image nothing new is taken up"),
    drop: () => linuxHandoverWriter(config.handover ?? join(config.stateDirectory, "handover"), { report }),
    repository: () =>
      createRepositoryByPins(haveOneName(pins) ? pins.length : 1, (first) =>
        createHttpRepository({
          host,
          port,
          ...(connectTo !== undefined && { connectTo }),
          ...(config.tunnel.proxy !== undefined && { proxy: config.tunnel.proxy }),
          context: secureContextFor({ host, port, authority, minTls: config.tunnel.minTls }, undefined, first),
          prefix,
        }),
      ),
  };
}

/** Takes the lock first: a process that does not hold it must not even tidy up. [STA-3] */
async function run(file: string, stop: AbortSignal): Promise<void> {
  const { config, anchors } = await loadConfig(file);
  const lock = await lockState(config.stateDirectory);
  try {
    const damage = createDamageLog((fault) => log(`trouble: ${fault.code}: ${fault.message}`));
    if (lock.readOnly !== undefined) damage.report(lock.readOnly);
    const files = tolerateDamage(await linuxFiles(config.stateDirectory), damage.report);
    const tpm = await tpmAtStart(config, files);
    const environment = await environmentFor(tpm, config, files);
    const provider = { misses: 0 };
    if (isStartedWith(process.env, environment)) {
      const restart = new AbortController();
      await runLocked({ config, anchors, files, damage, tpm, restart, provider }, stop);
      if (!restart.signal.aborted) return;
    }
    await lock.release();
    // A signal that has arrived must be delivered now, because the process that replaces this one
    // does not know of it. Node polls for events between two turns of its loop: the first await
    // ends the present turn, the second lets one poll happen.
    await setImmediate();
    await setImmediate();
    const restarts = Math.min(restartsFor(process.env) + (provider.misses > 0 ? 1 : 0), RESTARTS_MAX);
    if (!stop.aborted) restartWith({ ...environment, [RESTARTS]: String(restarts) });
  } finally {
    await lock.release();
  }
}

async function runLocked(state: LockedState, stop: AbortSignal): Promise<void> {
  const { config, anchors, files, damage, restart } = state;
  await using spoolFiles = await ownAppendFiles(join(config.stateDirectory, "spool"), { report: damage.report });
  const agent = createAgent({
    config,
    anchors,
    program: PROGRAM,
    files,
    damage,
    spoolFiles,
    clock: linuxClock(),
    random: Math.random,
    vitals: linuxVitals(),
    listen: listenUnix,
    connectWarden: () => connectToWarden(config.wardenSocket),
    settleKey: (birth) => settle(state, birth),
    upgradeKeys: upgradeKeysOf(state),
    releases: releasePlacesOf(config, anchors, damage),
    serial: config.console === undefined ? undefined : linuxSerialPort(config.console),
    // Without it the console only prints its hint more often.
    bootId: () =>
      linuxHardware({ root: "/" })
        .bootId()
        .catch(() => undefined),
    log,
  });
  await agent.start();
  log(`${PROGRAM} started`);
  try {
    const reason = await Promise.race([reasonOf(AbortSignal.any([stop, restart.signal])), agent.failed]);
    log(`stopping: ${reason}`);
  } finally {
    await agent.stop();
  }
}

await runMain({
  name: NAME,
  version: VERSION,
  purpose:
    "The network-facing program: makes the device's key and certificate request, enrols at the hub, maintains the tunnel, and serves the serial console.",
  configFile: "/etc/sallyport/agent.json",
  check: async (file) => (await loadConfig(file)).config,
  live: run,
});
