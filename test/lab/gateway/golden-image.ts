// The golden image from which every gateway of a test run is copied: a hub with its keys, five
// signed releases of a whole system, and the disk as the factory writes it. It is built once for
// each state of the sources, in half a minute; each test gets a hub and a disk of its own.
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildAll } from "../../../build/bundle.ts";
import { addImage } from "../../../build/release/image.ts";
import { cacheDirectory } from "../../../build/image/cache.ts";
import { boardPolicy, makeKeyHolder, type KeyHolder, readKeyHolder, rosterOf } from "../counterparts/operator-keys.ts";
import { type HubProcess, openHubProcess } from "../worlds/hub-process.ts";
import { bundlesAreFresh } from "../runner/programs.ts";
import { FOR_ALL, openReleaseTool } from "../worlds/release-tool.ts";
import { PROJECT } from "../runner/sources.ts";
import { HUB_ADDRESS, UPLINK } from "./address.ts";
import { type ReleaseFacts, makeImages } from "./images.ts";
import { goldenImageKey } from "./golden-image-key.ts";

export interface GoldenImage {
  readonly directory: string;
  /** Release 1, committed in slot a. */
  readonly disk: string;
  /** The state directory of a hub, to be copied. It has published all {@link RELEASES}. */
  readonly hub: string;
  /** The operators of the roster: an owner and a technician. */
  readonly owner: KeyHolder;
  readonly technician: KeyHolder;
}

/** The targets for `update start ID TARGET`. */
export const RELEASES = {
  good: "os/gateway-2.0.0.json",
  /** Its agent ends as soon as it is started. */
  broken: "os/gateway-3.0.0.json",
  next: "os/gateway-4.0.0.json",
} as const;

/** The hub's ports as the gateway sees them. They are forwarded to its ports on this machine. */
export const EST_PORT = 8443;
export const MQTT_PORT = 8883;

const FIRST: ReleaseFacts = { version: "1.0.0", counter: 1 };
const LATER: readonly ReleaseFacts[] = [
  { version: "2.0.0", counter: 2 },
  // It can only fail, so it gets just the time that it takes to report that.
  { version: "3.0.0", counter: 3, agent: "broken", trialS: 90 },
  { version: "4.0.0", counter: 4 },
];
/** None of our programs starts in it. It is not published: a test puts it on a disk itself. */
export const STUCK: ReleaseFacts = { version: "5.0.0", counter: 5, node: "broken", trialS: 3 };
/**
 * Builds the image unless the cache has a valid one.
 * @param spareMs how long after now it must still be valid, for a caller that prepares it for
 * others.
 * @throws Fault `process.failed`, `usage.invalid` and what the parts throw.
 */
export async function ensureGoldenImage(say: (line: string) => void = () => undefined, spareMs = 0): Promise<GoldenImage> {
  if (!bundlesAreFresh()) await buildAll();
  const directory = await cacheDirectory("golden", await goldenImageKey(spareMs), async (made) => {
    say("building a gateway's system in five releases, its disk, and a hub that has them (about a minute)");
    await make(made, say);
  });
  const holder = (id: string): Promise<KeyHolder> => readKeyHolder(directory, id);
  const [owner, technician] = await Promise.all([holder("owner"), holder("technician")]);
  const at = (name: string): string => join(directory, name);
  return { directory, disk: at("disk.img"), hub: at("hub"), owner, technician };
}

/** A hub with the state in `state`, before it is started. */
export function openGoldenHub(state: string, onLine?: (line: string) => void): Promise<HubProcess> {
  const program = join(PROJECT, "dist/sallyport-hub/main.js");
  return openHubProcess({ state, address: "127.0.0.1", hosts: [HUB_ADDRESS], node: process.execPath, program, onLine });
}

async function make(directory: string, say: (line: string) => void): Promise<void> {
  const hub = await openGoldenHub(join(directory, "hub"));
  const [confirmer, owner, technician] = [
    await makeKeyHolder(directory, "confirmer"),
    await makeKeyHolder(directory, "owner"),
    await makeKeyHolder(directory, "technician"),
  ];
  const release = await openReleaseTool(join(directory, "release"));
  const given = join(directory, "given");
  await mkdir(given);
  const put = (name: string, content: object): Promise<void> => writeFile(join(given, name), JSON.stringify(content));
  await put("hub.json", await hub.anchors());
  await copyFile(release.root, join(given, "root.json"));
  await put("policy.json", boardPolicy(confirmer, { name: "image", links: [{ name: UPLINK, dhcp4: true, ipv6: true }] }));
  await put("agent.json", agentConfig());
  const images = await makeImages({ directory, given, first: FIRST, later: [...LATER, STUCK], wardenConfig, say });
  for (const { version, counter, parts } of images.filter((image) => image.version !== STUCK.version))
    await addImage(release.directory, `os/gateway-${version}.json`, parts, { line: "os", counter, ...FOR_ALL });
  const roster = rosterOf({ holder: owner, roles: ["owner"] }, { holder: technician, roles: ["technician"] });
  await release.target("operators/plant.json", roster);
  await release.sign();
  await hub.command("release", "publish", release.directory);
}

const COURIER = "/var/lib/sallyport-handover";
const at = (port: number): object => ({ connectTo: { host: HUB_ADDRESS, port } });

function agentConfig(): object {
  return {
    handover: COURIER,
    console: { path: "/dev/ttyS0" },
    key: { protection: "tpm" },
    tunnel: at(MQTT_PORT),
    enrolment: at(EST_PORT),
  };
}

function wardenConfig({ trialS }: ReleaseFacts): object {
  return {
    handover: COURIER,
    buildDate: new Date().toISOString().slice(0, "YYYY-MM-DD".length),
    systemdBoot: {},
    lockdown: { console: "ttyS0", hubEndpoints: [EST_PORT, MQTT_PORT].map((port) => ({ address: HUB_ADDRESS, port })) },
    update: { installerSocket: "/run/sallyport-install.sock", ...(trialS !== undefined && { trialS }) },
  };
}
