// Settings of the units, from the given configurations. The configurations are checked by the
// programs that will read them, in the root that they will run in: a typing error is found here,
// and not on a gateway that does not start.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { HUB_ANCHORS_BYTES_MAX, hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { parsePolicy } from "../../warden/lockdown/format/index.ts";
import { earlyFirewall } from "./early-firewall.ts";
import { writeFileIn } from "./files.ts";
import { run } from "./run.ts";

/** Settings that the image's units, users and partitions require. Other values would not work. */
const FIXED = {
  agent: {
    stateDirectory: "/var/lib/sallyport",
    wardenSocket: "/run/sallyport/warden.sock",
    localSocket: "/run/sallyport-agent/root.sock",
    handover: "/var/lib/sallyport-handover",
    anchors: "/usr/share/sallyport/hub.json",
    trustRoot: "/usr/share/sallyport/root.json",
    "key.tpm.tcti": "device:/dev/tpmrm0",
  },
  warden: {
    boardRoot: "/",
    stateDirectory: "/var/lib/sallyport-warden",
    birthDirectory: "/boot/sallyport",
    socket: "/run/sallyport/warden.sock",
    handover: "/var/lib/sallyport-handover",
    anchors: "/usr/share/sallyport/hub.json",
    image: "/usr/share/sallyport/image.json",
    trustRoot: "/usr/share/sallyport/root.json",
    basePolicy: "/usr/share/sallyport/policy.json",
    setClock: true,
    "lockdown.firewall": "nft",
    "tpm.tcti": "device:/dev/tpmrm0",
    "update.installerSocket": "/run/sallyport-install.sock",
    "systemdBoot.esp": "/boot",
    "tpm.escrowKey": "/usr/share/sallyport/escrow.json",
  },
} as const;
type ProgramName = keyof typeof FIXED;

const CONFIG_BYTES_MAX = 65_536;
/**
 * Seconds after the warden's own deadline: the warden knows the reason better, so it acts first.
 */
const DEADLINE_AFTER_S = 60;

const endpoint = v.optional(v.object({ port: v.number() }));
/** The effective settings that the units need. */
const agentSchema = v.object({
  console: v.optional(v.object({ path: v.string(), baudRate: v.number() })),
  tunnel: v.object({ connectTo: endpoint, proxy: endpoint }),
  enrolment: v.object({ connectTo: endpoint }),
  repository: v.object({ connectTo: endpoint }),
});
const wardenSchema = v.object({
  lockdown: v.object({ console: v.optional(v.string()), hubEndpoints: v.array(v.object({ port: v.number() })) }),
  update: v.object({ trialS: v.number() }),
  buildDateMs: v.number(),
});

export interface DeviceSettings {
  readonly console: { readonly path: string; readonly baudRate: number } | undefined;
  readonly trialS: number;
  /** TCP ports. */
  readonly hubPorts: readonly number[];
}

/**
 * @param root the device's root, with its programs and configurations.
 * @param logTo the line for the kernel's messages, such as `ttyS1`.
 * @throws Fault `config.invalid`, which names what does not fit; `lockdown.invalid`,
 *   `schema.invalid`.
 */
export async function deviceSettings(root: string, logTo: string | undefined): Promise<DeviceSettings> {
  const [agent, warden] = [await effectiveConfig(root, "agent"), await effectiveConfig(root, "warden")];
  const anchorsFile = await readFile(join(root, FIXED.agent.anchors));
  const anchors = check(
    hubAnchorsSchema,
    parseJson(anchorsFile, HUB_ANCHORS_BYTES_MAX, "hub anchors", { duplicates: "refused" }),
    "hub.json",
  );
  const policy = parsePolicy(await readFile(join(root, FIXED.warden.basePolicy)));
  const { console, tunnel, enrolment, repository } = check(agentSchema, agent, "agent.json");
  const { lockdown, update, buildDateMs } = check(wardenSchema, warden, "warden.json");
  const faults = [
    ...misfits("agent", agent),
    ...misfits("warden", warden),
    ...buildDateFaults(await givenConfig(root, "warden"), buildDateMs),
    ...consoleFaults(console?.path, lockdown.console, policy.serial.console, logTo),
  ];
  if (faults.length > 0) throw new Fault("config.invalid", `the given files do not fit the image: ${faults.join("; ")}`);
  const further = [...lockdown.hubEndpoints, tunnel.connectTo, tunnel.proxy, enrolment.connectTo, repository.connectTo];
  return {
    console,
    trialS: update.trialS,
    hubPorts: [anchors.estPort, anchors.mqttPort, ...further.flatMap((to) => (to === undefined ? [] : [to.port]))],
  };
}

/** @returns the configuration as the caller wrote it. */
async function givenConfig(root: string, name: ProgramName): Promise<unknown> {
  return parseJson(await readFile(join(root, `etc/sallyport/${name}.json`)), CONFIG_BYTES_MAX, `${name}.json`, {
    duplicates: "refused",
  });
}

/** @returns the configuration as the program reads it, with its defaults. */
async function effectiveConfig(root: string, name: ProgramName): Promise<unknown> {
  const program = `sallyport-${name}`;
  const args = [`/usr/lib/sallyport/${program}/main.js`, "--check-config", "--config", `/etc/sallyport/${name}.json`];
  try {
    const output = await run("chroot", [root, "/usr/bin/env", "-i", "/usr/lib/sallyport/node", ...args]);
    return parseJson(output.slice(output.indexOf("{")), CONFIG_BYTES_MAX, `the output of ${program}`);
  } catch (error) {
    const why = error instanceof Fault ? /\b(?:config|schema)\.[a-z-]+: (.+)$/su.exec(error.message)?.[1] : undefined;
    if (why === undefined) throw error;
    throw new Fault("config.invalid", `${name}.json: ${why}`, { cause: error });
  }
}

function misfits(name: ProgramName, config: unknown): readonly string[] {
  return Object.entries(FIXED[name]).flatMap(([path, expected]) => {
    const found = path.split(".").reduce<unknown>(member, config);
    const is = found === undefined ? "is missing" : `is ${JSON.stringify(found)}`;
    return found === expected ? [] : [`${name}.json: "${path}" ${is}, expected ${JSON.stringify(expected)}`];
  });
}

/**
 * [ID-22] The build date must be given: the current time would make each image different, and the
 * program's own date is older than the image.
 */
function buildDateFaults(warden: unknown, buildDateMs: number): readonly string[] {
  const expected = 'expected the day of the build, such as "2026-11-30", because the device never accepts an earlier time';
  if (member(warden, "buildDate") === undefined) return [`warden.json: "buildDate" is missing, ${expected}`];
  if (buildDateMs > Date.now()) return [`warden.json: "buildDate" is in the future by this machine's clock, ${expected}`];
  return [];
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? new Map<string, unknown>(Object.entries(value)).get(name) : undefined;
}

function consoleFaults(
  agent: string | undefined,
  warden: string | undefined,
  policy: string | undefined,
  logTo: string | undefined,
): readonly string[] {
  const line = agent?.replace(/^\/dev\//u, "");
  const shown = (name: string | undefined): string => (name === undefined ? "no line" : `"${name}"`);
  const faults: string[] = [];
  if (agent !== undefined && !/^\/dev\/tty[A-Za-z0-9]{1,12}$/u.test(agent))
    faults.push(
      `agent.json: "console.path" is "${agent}", expected a device such as "/dev/ttyS0", because the agent's unit allows one`,
    );
  if (warden !== line)
    faults.push(
      `agent.json has its console on ${shown(line)}, and warden.json has "lockdown.console" on ${shown(warden)}: name one line in both`,
    );
  if (policy !== undefined && policy !== line)
    faults.push(`policy.json has "serial.console" on "${policy}", and agent.json on ${shown(line)}`);
  if (logTo !== undefined && logTo === line)
    faults.push(`the kernel would write to "${logTo}", which is the console's line; choose another --log-to`);
  return faults;
}

/** Writes the drop-ins and files of the units, systemd.unit(5). */
export async function applySettings(root: string, { console, trialS, hubPorts }: DeviceSettings): Promise<void> {
  const dropIn = (unit: string, name: string, lines: string): Promise<void> =>
    writeFileIn(join(root, "usr/lib/systemd/system", `${unit}.d`, `${name}.conf`), lines);
  await writeFileIn(join(root, "usr/share/sallyport/firewall.nft"), earlyFirewall(hubPorts));
  await dropIn("sallyport-trial.timer", "10-deadline", `[Timer]\nOnBootSec=\nOnBootSec=${trialS + DEADLINE_AFTER_S}s\n`);
  if (console === undefined) return;
  await dropIn("sallyport-agent.service", "10-console", `[Service]\nDeviceAllow=${console.path} rw\n`);
  // Failures are reported on the console's line, and the audit key is shown there.
  const environment = `[Service]\nEnvironment=SALLYPORT_CONSOLE=${console.path} SALLYPORT_CONSOLE_BAUD=${console.baudRate}\n`;
  for (const unit of [
    "sallyport-failed@.service",
    "sallyport-trial.service",
    "sallyport-audit-key.service",
    "sallyport-reset.service",
    "emergency.service",
  ])
    await dropIn(unit, "10-console", environment);
}
