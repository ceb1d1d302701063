// sallyport-warden: reads its configuration, takes the state lock, opens the warden and its socket, serves until told to stop.
import { createHash } from "node:crypto";
import { Fault } from "../hal/fault.ts";
import {
  journal,
  linuxAppendFiles,
  linuxClock,
  linuxFiles,
  linuxHardware,
  linuxVitals,
  listenUnix,
  lockState,
  reasonOf,
  requiredConfigFile,
  simulatedClock,
  runMain,
} from "../hal/linux/index.ts";
import { HUB_ANCHORS_BYTES_MAX } from "../ota/anchors/format.ts";
import { type HubKeys, parseHubKeys } from "./anchors.ts";
import { CONFIG_BYTES_MAX, parseConfig, type WardenConfig } from "./config.ts";
import { serveSocket } from "./socket/index.ts";
import { clockBounds } from "./time/index.ts";
import { openWarden } from "./warden.ts";

const NAME = "sallyport-warden";
const VERSION = "0.1.0";

const say = journal(NAME);

interface Settings {
  readonly config: WardenConfig;
  /** SHA-256 of the file. */
  readonly configHash: string;
}

async function load(file: string): Promise<Settings> {
  const bytes = await requiredConfigFile(file, CONFIG_BYTES_MAX, "configuration", "name it with --config");
  return { config: parseConfig(bytes, file), configHash: createHash("sha256").update(bytes).digest("hex") };
}

async function loadHubKeys(file: string): Promise<HubKeys> {
  const hint = `put there what "sallyport-hub anchors" prints; hub time and the witness are not believed without`;
  return parseHubKeys(await requiredConfigFile(file, HUB_ANCHORS_BYTES_MAX, "hub anchors", hint), file);
}

/** Anchors that are missing or broken leave the hub without a voice; the device runs on and says so. */
async function hubKeysIfAny(file: string): Promise<HubKeys | Fault> {
  try {
    return await loadHubKeys(file);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** The lock first: whoever does not hold it must not even tidy up. [STA-3] */
async function live(file: string, stop: AbortSignal): Promise<void> {
  const settings = await load(file);
  const { config } = settings;
  const lock = await lockState(config.stateDirectory);
  try {
    await serveLocked(settings, stop);
  } finally {
    await lock.release();
  }
}

/** Settles records and log, then opens the socket; what began is answered before the log is closed. */
async function serveLocked({ config, configHash }: Settings, stop: AbortSignal): Promise<void> {
  const hubKeys = await hubKeysIfAny(config.anchors);
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
      program: `${NAME}/${VERSION}`,
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
    listen: listenUnix,
    open: (send, signal) => warden.openSession(send, signal),
    refused: (fault) => warden.refused(fault),
    report: (fault) => warden.report(fault),
  });
  say(`device "${warden.identity.id}" (${warden.identity.source}), listening on "${config.socket}"`);
  const reason = await reasonOf(stop);
  await server.close();
  await warden.stop(reason);
  say(`stopped by ${reason}`);
}

await runMain({
  name: NAME,
  version: VERSION,
  purpose: "The only program that changes the machine: keeps the audit log, sets the clock, tells the agent who the device is.",
  configFile: "/etc/sallyport/warden.json",
  check: async (file) => {
    const { config } = await load(file);
    await loadHubKeys(config.anchors);
    return config;
  },
  live,
});
