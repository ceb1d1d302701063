// A gateway with its hub, for the tests of updates: where it is, with the seconds since the start,
// and what is known of it from outside.
import { basename } from "node:path";
import type { Test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { KeyHolder } from "../counterparts/operator-keys.ts";
import type { HubProcess } from "../worlds/hub-process.ts";
import { hubRecords, updateStatus } from "../worlds/hub-cli-json.ts";
import { eventually } from "../runner/process.ts";
import type { CutReport, DiskEvent, Loss } from "./disk.ts";
import { kernelNames } from "./esp.ts";
import { type Gateway, ID } from "./gateway.ts";
import { openSite } from "./site.ts";

/** For one step: a boot, an installation, a trial. The machine may run other emulators too. */
const STEP_MS_MAX = 1_200_000;
const SAID_CHARACTERS_MAX = 300;
/** Each attempt starts a program beside the emulator, which needs the processors. */
const POLL_EVERY_MS = 2000;

export interface FollowedGateway {
  readonly gateway: Gateway;
  readonly hub: HubProcess;
  /** The operator of the roster who owns the gateway. */
  readonly owner: KeyHolder;
  /** The hub's output since its start, by lines. */
  readonly journal: readonly string[];
  readonly say: (line: string) => void;
  /** Waits for a line of the log, from where the last wait for one ended. */
  readonly logged: (pattern: RegExp) => Promise<string>;
  /** The same on the serial line. */
  readonly said: (pattern: RegExp) => Promise<string>;
  /** Waits for a status of the update that the hub was told. */
  readonly until: (what: string, isIt: (status: UpdateStatus) => boolean) => Promise<UpdateStatus>;
  /** The names of the kernel images on the disk. */
  readonly kernels: () => Promise<readonly string[]>;
  /**
   * @returns the events of updates in the hub's audit trail since the last call, once `last` is the
   * newest: records arrive after the status.
   */
  readonly events: (last: string) => Promise<readonly string[]>;
  /** Cuts the power at the first request to the disk for which `isIt` holds. */
  readonly cutAt: (what: string, loss: Loss, isIt: (event: DiskEvent) => boolean) => Promise<CutReport>;
}

/** Lines of the log that mark a step of the boot. */
export const WARDEN_STARTED = /Started sallyport-warden\.service/u;
export const AGENT_CONNECTED = /sallyport-agent: life \S+ -> connected/u;
export const INSTALLER_STARTED = /Started sallyport-install@\S+\.service/u;

/**
 * A gateway that is off, as the factory made it. It has one processor, because then the emulator
 * needs one, and two machines can run side by side.
 */
export async function followGateway(t: Test): Promise<FollowedGateway> {
  const started = performance.now();
  const file = basename(process.argv[1] ?? "gateway");
  // On stderr at once: tap shows a test's comments only when its file is over, when others run
  // beside it.
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
    owner: site.golden.owner,
    journal,
    say,
    logged: (pattern) => waited(gateway.log, pattern),
    said: (pattern) => waited(gateway, pattern),
    until: (what, isIt) => {
      let before = "";
      const attempt = async (): Promise<UpdateStatus> => {
        const status = await updateStatus(hub, ID);
        const shown = JSON.stringify(status);
        if (shown !== before) say(`the hub was told: ${shown}`);
        before = shown;
        if (status !== undefined && isIt(status)) return status;
        throw new Fault("process.failed", `the hub was told last: ${shown}`);
      };
      return eventually(what, attempt, STEP_MS_MAX, POLL_EVERY_MS);
    },
    kernels: () => kernelNames(gateway, site.directory),
    events: (last) => {
      const attempt = async (): Promise<readonly string[] | undefined> => {
        const all = (await hubRecords(hub, ID)).map(({ record }) => record.event).filter((event) => event.startsWith("update."));
        const fresh = all.slice(told);
        if (fresh.at(-1) !== last) return undefined;
        told = all.length;
        return fresh;
      };
      return eventually(`"${last}" as the newest of updates in the hub's trail`, attempt, STEP_MS_MAX, POLL_EVERY_MS);
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
    // A listener that throws breaks the disk, and so does a full disk of this machine.
    void gateway.broken.then(reject);
    const unwatch = gateway.watchDisk((event) => {
      if (!isIt(event)) return;
      unwatch();
      gateway.cut(loss).then((cut) => resolve({ cut, event }), reject);
    });
  });
}
