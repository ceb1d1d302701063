// What the given configurations mean for the units. They are judged by the programs that will read them, in the root that they will run in: a typing error is to be
// found here, and not on a gateway that does not come up.
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

/** Settings that units, users and partitions of the image are made for: anything else would not work on it. */
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
    "update.installerSocket": "/run/sallyport-install.sock",
    "systemdBoot.esp": "/boot",
  },
} as const;
type ProgramName = keyof typeof FIXED;

const CONFIG_BYTES_MAX = 65_536;
/** After the warden's own deadline, in seconds: it knows better why, so it speaks first. */
const DEADLINE_AFTER_S = 60;

const endpoint = v.optional(v.object({ port: v.number() }));
/** Of what the programs say is in force: what the units have to know. */
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
  /** Of TCP. */
  readonly hubPorts: readonly number[];
}

/**
 * @param root the device's, with its programs and configurations.
 * @param logTo where the kernel is to write, such as `ttyS1`.
 * @throws Fault `config.invalid` naming what does not fit; `lockdown.invalid`, `schema.invalid`.
 */
export async function deviceSettings(root: string, logTo: string | undefined): Promise<DeviceSettings> {
  const [agent, warden] = [await inForce(root, "agent"), await inForce(root, "warden")];
  const anchorsFile = await readFile(join(root, FIXED.agent.anchors));
  const anchors = check(hubAnchorsSchema, parseJson(anchorsFile, HUB_ANCHORS_BYTES_MAX, "hub anchors"), "hub.json");
  const policy = parsePolicy(await readFile(join(root, FIXED.warden.basePolicy)));
  const { console, tunnel, enrolment, repository } = check(agentSchema, agent, "agent.json");
  const { lockdown, update, buildDateMs } = check(wardenSchema, warden, "warden.json");
  const faults = [
    ...misfits("agent", agent),
    ...misfits("warden", warden),
    ...buildDateFaults(await given(root, "warden"), buildDateMs),
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

/** As the caller wrote it, which the program takes. */
async function given(root: string, name: ProgramName): Promise<unknown> {
  return parseJson(await readFile(join(root, `etc/sallyport/${name}.json`)), CONFIG_BYTES_MAX, `${name}.json`);
}

/** The program's own word for it, defaults included. */
async function inForce(root: string, name: ProgramName): Promise<unknown> {
  const program = `sallyport-${name}`;
  const words = [`/usr/lib/sallyport/${program}/main.js`, "--check-config", "--config", `/etc/sallyport/${name}.json`];
  try {
    const said = await run("chroot", [root, "/usr/bin/env", "-i", "/usr/lib/sallyport/node", ...words]);
    return parseJson(said.slice(said.indexOf("{")), CONFIG_BYTES_MAX, `what ${program} says`);
  } catch (error) {
    const why = error instanceof Fault ? /\b(?:config|schema)\.[a-z-]+: (.+)$/su.exec(error.message)?.[1] : undefined;
    if (why === undefined) throw error;
    throw new Fault("config.invalid", `${name}.json: ${why}`, { cause: error });
  }
}

function misfits(name: ProgramName, config: unknown): readonly string[] {
  return Object.entries(FIXED[name]).flatMap(([path, expected]) => {
    const found = path.split(".").reduce<unknown>(member, config);
    const is = found === undefined ? "is not given" : `is ${JSON.stringify(found)}`;
    return found === expected ? [] : [`${name}.json: "${path}" ${is}, expected ${JSON.stringify(expected)}`];
  });
}

/** It has to be given: the time of the build would make each image another one, and the program's own date is older than the image. [ID-10] */
function buildDateFaults(warden: unknown, buildDateMs: number): readonly string[] {
  const expected = 'expected the day of the build, such as "2026-11-30": the device never believes an earlier time';
  if (member(warden, "buildDate") === undefined) return [`warden.json: "buildDate" is not given, ${expected}`];
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
  const quoted = (name: string | undefined): string => (name === undefined ? "no line" : `"${name}"`);
  const faults: string[] = [];
  if (agent !== undefined && !/^\/dev\/tty[A-Za-z0-9]{1,12}$/u.test(agent))
    faults.push(`agent.json: "console.path" is "${agent}", expected a device such as "/dev/ttyS0": its unit allows one`);
  if (warden !== line)
    faults.push(
      `agent.json has its console on ${quoted(line)}, and warden.json has "lockdown.console" on ${quoted(warden)}: name one line in both`,
    );
  if (policy !== undefined && policy !== line)
    faults.push(`policy.json has "serial.console" on "${policy}", and agent.json on ${quoted(line)}`);
  if (logTo !== undefined && logTo === line) faults.push(`the kernel would write to "${logTo}", which is the console's`);
  return faults;
}

/** Drop-ins and files of the units, systemd.unit(5). */
export async function applySettings(root: string, { console, trialS, hubPorts }: DeviceSettings): Promise<void> {
  const dropIn = (unit: string, name: string, lines: string): Promise<void> =>
    writeFileIn(join(root, "usr/lib/systemd/system", `${unit}.d`, `${name}.conf`), lines);
  await writeFileIn(join(root, "usr/share/sallyport/firewall.nft"), earlyFirewall(hubPorts));
  await dropIn("sallyport-trial.timer", "10-deadline", `[Timer]\nOnBootSec=\nOnBootSec=${trialS + DEADLINE_AFTER_S}s\n`);
  if (console === undefined) return;
  await dropIn("sallyport-agent.service", "10-console", `[Service]\nDeviceAllow=${console.path} rw\n`);
  // what fails is said to whoever has the cable
  const environment = `[Service]\nEnvironment=SALLYPORT_CONSOLE=${console.path} SALLYPORT_CONSOLE_BAUD=${console.baudRate}\n`;
  for (const unit of ["sallyport-failed@.service", "sallyport-trial.service", "emergency.service"])
    await dropIn(unit, "10-console", environment);
}
