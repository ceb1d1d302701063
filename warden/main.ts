// The program sallyport-warden: reads its configuration, takes the state lock, opens the warden and
// its socket, and serves until it is stopped.
import { createHash } from "node:crypto";
import { createDamageLog, type DamageLog } from "../hal/damaged-files.ts";
import { Fault } from "../hal/fault.ts";
import { paceLines } from "../hal/line-pace.ts";
import { parseConfigFile } from "../hal/format/config.ts";
import {
  connectChild,
  fatFiles,
  createFileBootChoice,
  createFileSlots,
  foreignFiles,
  journal,
  createOptionalHandoverReader,
  linuxBootEnd,
  linuxChipReader,
  linuxClock,
  linuxDeadManSwitch,
  linuxFiles,
  linuxFirewall,
  linuxHardware,
  linuxNetwork,
  linuxPower,
  linuxTpmChip,
  linuxUptime,
  linuxUsbEvents,
  linuxUsbTree,
  linuxVitals,
  linuxWatchdog,
  listenUnix,
  lockState,
  ownAppendFiles,
  ownFiles,
  createPartitionSlots,
  readConfigFile,
  reasonOf,
  requiredConfigFile,
  createSimulatedClock,
  runMain,
  startChild,
  createSystemdBootChoice,
} from "../hal/linux/index.ts";
import { HUB_ANCHORS_BYTES_MAX } from "../ota/format/anchors.ts";
import { IMAGE_FACTS_BYTES_MAX, imageFactsSchema } from "../ota/format/image.ts";
import { IMAGE_BYTES_MAX } from "../ota/index/format/index.ts";
import { ESCROW_KEY_BYTES_MAX, type EscrowKey, parseEscrowKey } from "./escrow/format/index.ts";
import { type HubKeys, parseHubKeys } from "./anchors.ts";
import { CONFIG_BYTES_MAX, parseConfig, type WardenConfig } from "./config.ts";
import { UPDATE_FILE } from "../ota/commit/index.ts";
import { FLOORS_FILE } from "../ota/floor/index.ts";
import { ROOT_BYTES_MAX } from "../ota/trust/index.ts";
import { isBirthRecorded } from "./identity/index.ts";
import { INSTALL_LINE_BYTES_MAX } from "./install/format.ts";
import { installerCommand } from "./install/index.ts";
import { hubEndpoints, LOCKDOWN_FILE } from "./lockdown/index.ts";
import { POLICY_BYTES_MAX } from "./lockdown/format/index.ts";
import type { MachinePorts, MachineSettings } from "./services.ts";
import { serveSocket } from "./socket/index.ts";
import { clockBounds } from "./time/index.ts";
import { openWarden } from "./warden.ts";

const NAME = "sallyport-warden";
const VERSION = "0.1.0";

/** Agents, hubs and whoever plants files cause lines at will. [OPS-36] */
const say = paceLines(journal(NAME));

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
  const hint = `put there what "sallyport-hub anchors" prints; without them neither hub time nor witness is trusted`;
  return parseHubKeys(await requiredConfigFile(file, HUB_ANCHORS_BYTES_MAX, "hub anchors", hint), file);
}

/** Without valid anchors nothing that the hub signs counts; the device runs on and reports it. */
async function hubKeysOrFault(file: string): Promise<HubKeys | Fault> {
  try {
    return await loadHubKeys(file);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/**
 * Without the file nothing is escrowed; with one that cannot be used neither, and it is reported.
 */
async function escrowKeyOrFault(file: string): Promise<EscrowKey | Fault | undefined> {
  try {
    const bytes = await readConfigFile(file, ESCROW_KEY_BYTES_MAX);
    return bytes === undefined ? undefined : parseEscrowKey(bytes, file);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/**
 * Reads what the image provides. A file that cannot be read is a trouble and does not stop the
 * warden: a device must be reachable to be repaired.
 */
async function loadImage(
  config: WardenConfig,
): Promise<Pick<MachineSettings, "image" | "trustRoot" | "basePolicy"> & { readonly troubles: readonly Fault[] }> {
  const troubles: Fault[] = [];
  const orTrouble = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      troubles.push(error);
      return undefined;
    }
  };
  const file = (path: string, bytesMax: number, what: string, hint: string): Promise<Uint8Array | undefined> =>
    orTrouble(requiredConfigFile(path, bytesMax, what, hint));
  const facts = await file(config.image, IMAGE_FACTS_BYTES_MAX, "image facts", "without them no release fits this hardware");
  return {
    trustRoot: await file(config.trustRoot, ROOT_BYTES_MAX, "TUF root", "without it no new metadata is trusted"),
    basePolicy: await file(
      config.basePolicy,
      POLICY_BYTES_MAX,
      "base policy",
      "without it every network is closed except the way to the hub",
    ),
    image:
      facts === undefined
        ? undefined
        : await orTrouble(
            (async () => parseConfigFile(imageFactsSchema, facts, IMAGE_FACTS_BYTES_MAX, `image facts "${config.image}"`))(),
          ),
    troubles,
  };
}

/** What the switch and the services keep, each in a directory of its own. [STA-13] */
async function serviceFiles({ stateDirectory }: WardenConfig, { report }: DamageLog): Promise<MachinePorts["files"]> {
  const at = (name: string, ...damaged: readonly string[]): ReturnType<typeof ownFiles> =>
    ownFiles(`${stateDirectory}/${name}`, { report, damaged });
  return {
    targets: await at("targets"),
    lockdown: await at("lockdown", LOCKDOWN_FILE),
    update: await at("update", FLOORS_FILE, UPDATE_FILE),
  };
}

async function machinePorts(config: WardenConfig, damage: DamageLog): Promise<MachinePorts> {
  const { tcti } = config.tpm;
  const { boardRoot: root, stateDirectory, systemdBoot, update, handover } = config;
  const lineBytesMax = INSTALL_LINE_BYTES_MAX;
  return {
    files: await serviceFiles(config, damage),
    handover: createOptionalHandoverReader(handover),
    ...(config.lockdown.firewall === "nft"
      ? {
          firewall: linuxFirewall(),
          deadManSwitch: linuxDeadManSwitch({ directory: `${stateDirectory}/dead-man`, root, onDamage: damage.report }),
        }
      : { firewall: undefined, deadManSwitch: undefined }),
    heartbeat: linuxWatchdog(say),
    usb: linuxUsbTree({ root }),
    usbEvents: linuxUsbEvents({ root }),
    chip: tcti === undefined ? undefined : linuxChipReader(tcti),
    network: linuxNetwork({ root }),
    ...(systemdBoot === undefined
      ? {
          slots: createFileSlots({ directory: config.slots, root, partBytesMax: IMAGE_BYTES_MAX }),
          boot: createFileBootChoice(await foreignFiles(() => linuxFiles(config.slots), damage.report)),
        }
      : {
          slots: createPartitionSlots({ root, esp: systemdBoot.esp, kernelBytesMax: IMAGE_BYTES_MAX }),
          boot: createSystemdBootChoice(systemdBoot),
        }),
    bootEnd: linuxBootEnd({ root, directory: config.birthDirectory }),
    power: linuxPower({ root }),
    installer: () => {
      if (update.installerSocket !== undefined) return connectChild(update.installerSocket, { lineBytesMax });
      const slots = systemdBoot ?? config.slots;
      const { args, env } = installerCommand(update.installer, { root, slots, handover });
      return startChild(process.execPath, args, { lineBytesMax, env, onErrorLine: say });
    },
    uptimeMs: () => linuxUptime(root),
    bootId: () => linuxHardware({ root }).bootId(),
  };
}

/** Takes the lock first: a process without it must not even tidy up. [STA-3] */
async function live(file: string, stop: AbortSignal): Promise<void> {
  const settings = await load(file);
  const { config } = settings;
  const lock = await lockState(config.stateDirectory);
  try {
    await serveLocked(settings, lock.readOnly, stop);
  } finally {
    await lock.release();
  }
}

/**
 * Opens the warden, then its socket. Requests that were begun are answered before the log is
 * closed.
 */
async function serveLocked({ config, configHash }: Settings, readOnly: Fault | undefined, stop: AbortSignal): Promise<void> {
  const hubKeys = await hubKeysOrFault(config.anchors);
  const { boardRoot, commissionedIdFile } = config;
  const { tcti, ownership: tpmOwnership } = config.tpm;
  const escrowKey = await escrowKeyOrFault(config.tpm.escrowKey);
  const { troubles, ...image } = await loadImage(config);
  const clock = config.setClock ? linuxClock() : createSimulatedClock();
  const damage = createDamageLog((fault) => say(`trouble: ${fault.code}: ${fault.message}`));
  if (readOnly !== undefined) damage.report(readOnly);
  await using auditLog = await ownAppendFiles(`${config.stateDirectory}/audit`, { report: damage.report });
  const state = await linuxFiles(config.stateDirectory);
  const warden = await openWarden(
    {
      state,
      birth: await foreignFiles(
        () => fatFiles(config.birthDirectory, { wasThere: (name) => isBirthRecorded(state, name) }),
        damage.report,
      ),
      auditLog,
      clock,
      hardware: linuxHardware({ root: boardRoot, ...(commissionedIdFile === undefined ? {} : { commissionedIdFile }) }),
      vitals: linuxVitals(),
      machine: await machinePorts(config, damage),
      tpm: tcti === undefined ? undefined : linuxTpmChip({ tcti, root: boardRoot }),
      damage,
      say,
    },
    {
      program: `${NAME}/${VERSION}`,
      bounds: clockBounds(config.buildDateMs),
      hubKeys: hubKeys instanceof Fault ? undefined : hubKeys,
      clockOutlivesUs: config.setClock,
      audit: config.audit,
      configHash,
      machine: {
        ...image,
        hubEndpoints:
          hubKeys instanceof Fault ? config.lockdown.hubEndpoints : hubEndpoints(hubKeys.place, config.lockdown.hubEndpoints),
        console: config.lockdown.console,
        approval: config.update.approval,
        checks: config.update.checks,
        trialMs: config.update.trialS * 1000,
      },
      tpmOwnership,
      escrowKey,
      troubles: [hubKeys, escrowKey, ...troubles].filter((each) => each instanceof Fault),
    },
  );
  // On a gateway's image sallyport-audit-key.service repeats this line on the console. [ID-26]
  say(`audit key of "${warden.identity.id}": ${warden.auditKey}`);
  let ended = "it cannot listen";
  try {
    const server = await serveSocket({
      path: config.socket,
      clock,
      listen: listenUnix,
      open: (send, signal) => warden.openSession(send, signal),
      refused: (fault) => warden.refused(fault),
      report: (fault) => warden.report(fault),
    });
    say(`device "${warden.identity.id}" (${warden.identity.source}), listening on "${config.socket}"`);
    ended = await reasonOf(stop);
    await server.close();
  } finally {
    // without a socket too: the lockdown's watch would go on, and with it the process
    await warden.stop(ended);
  }
  say(`stopped by ${ended}`);
}

await runMain({
  name: NAME,
  version: VERSION,
  purpose: "The only program that changes the machine: it keeps the audit log, sets the clock and settles the identity.",
  configFile: "/etc/sallyport/warden.json",
  check: async (file) => {
    const { config } = await load(file);
    await loadHubKeys(config.anchors);
    return config;
  },
  live,
});
