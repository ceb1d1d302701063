// A gateway's life with its hub as the tests of updates follow it: where it is, with the seconds since it began, and what is known of it from outside.
import { basename } from "node:path";
import type { Test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { HubProcess } from "../worlds/hub-process.ts";
import { hubRecords, updateStatus } from "../worlds/hub-cli-json.ts";
import { eventually } from "../runner/process.ts";
import type { CutReport, DiskEvent, Loss } from "./disk.ts";
import { kernelNames } from "./esp.ts";
import { type Gateway, ID } from "./gateway.ts";
import { openSite } from "./site.ts";

/** For one step: a boot, an installation, a trial. The machine may have others to emulate too. */
const STEP_MS_MAX = 1_200_000;
const SAID_CHARACTERS_MAX = 300;
/** Each look starts a program beside the emulator, which needs the processors. */
const LOOK_EVERY_MS = 2000;

export interface FollowedGateway {
  readonly gateway: Gateway;
  readonly hub: HubProcess;
  /** What the hub said since it was started, a line each. */
  readonly journal: readonly string[];
  readonly say: (line: string) => void;
  /** Waits for a line of the kernel's and systemd's, from where the last wait for one ended. */
  readonly logged: (pattern: RegExp) => Promise<string>;
  /** The same on the serial line. */
  readonly said: (pattern: RegExp) => Promise<string>;
  /** Waits for what the hub is told of the update. */
  readonly until: (what: string, isIt: (status: UpdateStatus) => boolean) => Promise<UpdateStatus>;
  /** Names of the kernel images on the disk. */
  readonly kernels: () => Promise<readonly string[]>;
  /** What the hub's audit trail says of updates since the last call, once `last` is the newest: records come after the status does. */
  readonly events: (last: string) => Promise<readonly string[]>;
  /** Cuts the power at the first request to the disk of which `isIt` holds. */
  readonly cutAt: (what: string, loss: Loss, isIt: (event: DiskEvent) => boolean) => Promise<CutReport>;
}

/** Marks of a boot in the log. */
export const WARDEN_STARTED = /Started sallyport-warden\.service/u;
export const AGENT_CONNECTED = /sallyport-agent: life \S+ -> connected/u;
export const INSTALLER_STARTED = /Started sallyport-install@\S+\.service/u;

/** A gateway that is off, as the factory made it. One processor: the emulator then needs one, and two machines can run side by side. */
export async function followGateway(t: Test): Promise<FollowedGateway> {
  const started = performance.now();
  const file = basename(process.argv[1] ?? "gateway");
  // at once: what a test tells tap is shown when its file is over, where others run beside it
  const say = (line: string): void => {
    process.stderr.write(
      `        ${file} ${Math.round((performance.now() - started) / 1000)} s: ${line.slice(0, SAID_CHARACTERS_MAX)}\n`,
    );
  };
  const journal: string[] = [];
  const site = await openSite({ say, processors: 1, onHubLine: (line) => void journal.push(line) });
  t.teardown(() => site.stop());
  const { gateway, hub } = site;
  let told = 0;
  const waited = async (line: Pick<Gateway, "waitFor">, pattern: RegExp): Promise<string> => {
    const [found] = await line.waitFor(pattern, STEP_MS_MAX);
    say(found);
    return found;
  };
  return {
    gateway,
    hub,
    journal,
    say,
    logged: (pattern) => waited(gateway.log, pattern),
    said: (pattern) => waited(gateway, pattern),
    until: (what, isIt) => {
      let before = "";
      const look = async (): Promise<UpdateStatus> => {
        const status = await updateStatus(hub, ID);
        const shown = JSON.stringify(status);
        if (shown !== before) say(`the hub was told: ${shown}`);
        before = shown;
        if (status !== undefined && isIt(status)) return status;
        throw new Fault("process.failed", `the hub was told last: ${shown}`);
      };
      return eventually(what, look, STEP_MS_MAX, LOOK_EVERY_MS);
    },
    kernels: () => kernelNames(gateway, site.directory),
    events: (last) => {
      const look = async (): Promise<readonly string[] | undefined> => {
        const all = (await hubRecords(hub, ID)).map(({ record }) => record.event).filter((event) => event.startsWith("update."));
        const fresh = all.slice(told);
        if (fresh.at(-1) !== last) return undefined;
        told = all.length;
        return fresh;
      };
      return eventually(`"${last}" as the newest of updates in the hub's trail`, look, STEP_MS_MAX, LOOK_EVERY_MS);
    },
    cutAt: async (what, loss, isIt) => {
      const { cut, event } = await cutWhen(gateway, loss, isIt);
      const where = event.kind === "flush" ? "a flush" : `a ${event.kind} of ${event.bytes} bytes at ${event.offset}`;
      say(`power cut (${loss.kind}) at ${what}, ${where}: of what was not flushed ${JSON.stringify(cut)}`);
      return cut;
    },
  };
}

function cutWhen(
  gateway: Gateway,
  loss: Loss,
  isIt: (event: DiskEvent) => boolean,
): Promise<{ readonly cut: CutReport; readonly event: DiskEvent }> {
  return new Promise((resolve, reject) => {
    void gateway.broken.then(reject); // by what a listener throws, or a full disk of ours
    const unwatch = gateway.watchDisk((event) => {
      if (!isIt(event)) return;
      unwatch();
      gateway.cut(loss).then((cut) => resolve({ cut, event }), reject);
    });
  });
}
