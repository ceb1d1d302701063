// A whole gateway in an emulator: image size, time from boot to tunnel, memory of its programs, and
// their exposure as systemd rates it.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type DeviceStatus, deviceStatusSchema } from "../../agent/status/format.ts";
import { assert } from "../../hal/fault.ts";
import { openSite, type Site } from "../lab/gateway/site.ts";
import { hubAsks } from "../lab/worlds/hub-cli-json.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, startProgram } from "../lab/runner/process.ts";
import { exposureOf } from "../lab/runner/units.ts";
import type { Bench, Measure } from "./bench.ts";
import { type Finding, finding } from "./finding.ts";
import { memoryOf } from "./memory.ts";

const BOOT_MS_MAX = 400_000;
const STATUS_MS_MAX = 120_000;
/** Seconds of the guest's clock, counted from the start of the kernel. */
const CONNECTED = /\[\s*(\d+\.\d+)\][^\n]*life \w+ -> connected/u;
const FILE_SYSTEMS = /\[\s*(\d+\.\d+)\][^\n]*Reached target local-fs\.target/u;

export const machine: Measure = {
  name: "machine",
  peers: [
    { name: "to file systems", does: "boots the same kernel and systemd in the same emulator", lacks: "nothing of ours has run" },
    { name: "idle Node", does: "has loaded tls and https, and waits", lacks: "no connection and no code of its own" },
  ],
  how: "a whole gateway in software emulation: sizes of its image; time of the guest from the kernel's start to the open tunnel, against the same kernel and systemd until the file systems are mounted, when nothing of ours has run; memory there, against an idle Node here; exposure as systemd-analyze scores it",
  async run(bench) {
    const missing = needs("image", "qemu", "systemd-analyze");
    assert(missing === false, `a whole gateway is started: it ${missing}`);
    const site = await openSite({ say: bench.progress });
    bench.teardown(() => site.stop());
    const idle = await idleNode(bench);
    const boots = await boot(bench, site);
    const askStatus = (): Promise<DeviceStatus> => hubAsks(site.hub, boots.id, "status", deviceStatusSchema);
    const snapshot = await eventually("the gateway tells its status", askStatus, STATUS_MS_MAX);
    const { agentResidentBytes, wardenResidentBytes = 0 } = snapshot.system;
    const node = { name: "idle Node", values: [idle] };
    return [
      ...(await sizes(site)),
      finding({
        what: "kernel to tunnel (guest's clock)",
        unit: "s",
        ours: boots.connected,
        peer: { name: "to file systems", values: boots.mounted },
      }),
      finding({ what: "agent in the guest, RSS", unit: "bytes", ours: [agentResidentBytes], peer: node }),
      finding({ what: "warden in the guest, RSS", unit: "bytes", ours: [wardenResidentBytes], peer: node }),
      ...exposures(),
    ];
  },
};

/**
 * Enrols the gateway, then cuts its power and times the following boots, which are what a gateway
 * does for years.
 */
async function boot(bench: Bench, { gateway, hub }: Site) {
  bench.progress("first power-on");
  await gateway.powerOn();
  const { id } = await hub.approve(BOOT_MS_MAX);
  await gateway.log.waitFor(CONNECTED, BOOT_MS_MAX);
  const mounted: number[] = [];
  const connected: number[] = [];
  for (let round = 1; round <= (bench.quick ? 1 : 3); round += 1) {
    bench.progress(`power cycle ${round}`);
    await gateway.cut();
    await gateway.powerOn();
    mounted.push(Number((await gateway.log.waitFor(FILE_SYSTEMS, BOOT_MS_MAX))[1]));
    connected.push(Number((await gateway.log.waitFor(CONNECTED, BOOT_MS_MAX))[1]));
  }
  return { id, mounted, connected };
}

async function idleNode(bench: Bench): Promise<number> {
  const script = "setInterval(() => {}, 1e6); require('tls'); require('https'); console.log('idle')";
  const idle = startProgram({ name: "idle", command: process.execPath, args: ["-e", script] });
  bench.teardown(async () => void (await idle.stop()));
  await idle.line(/^idle$/u);
  return (await memoryOf(idle.pid)).rssBytes;
}

async function sizes({ golden }: Site): Promise<readonly Finding[]> {
  const rows = [
    ["root image (a release's larger part)", "images/1.0.0.root"],
    ["kernel image", "images/1.0.0.kernel"],
  ] as const;
  return await Promise.all(
    rows.map(async ([what, name]) => {
      const { size } = await stat(join(golden.directory, name));
      return finding({ what, unit: "bytes", ours: [size] });
    }),
  );
}

/** Upper bounds of exposure; 0 is fully sandboxed, 10 is fully exposed. */
const EXPOSURES = [
  ["sallyport-agent.service", 1.5],
  ["sallyport-warden.service", 2.9],
  ["sallyport-install@.service", undefined],
] as const;

function exposures(): readonly Finding[] {
  return EXPOSURES.map(([unit, bound]) =>
    finding({
      what: `exposure of ${unit.replace(".service", "")}`,
      unit: "of 10",
      ours: [exposureOf(unit)],
      ...(bound !== undefined && { target: { of: "ours", is: "at most", bound } }),
    }),
  );
}
