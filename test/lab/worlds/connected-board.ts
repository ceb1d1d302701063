// A board that is approved and connected, with its hub: the start of system tests that are not
// about enrolment. Everything ends with the test.
import { AUDIT_TAIL_RECORDS_MAX, OPERATIONS } from "../../../agent/operations/format.ts";
import { type DeviceStatus, deviceStatusSchema } from "../../../agent/status/format.ts";
import type { AuditRecord } from "../../../warden/audit/format/index.ts";
import { createLauncher, type Launcher, type LauncherOptions } from "./launcher.ts";
import type { TestContext } from "../runner/context.ts";
import { eventually, HANG_MS } from "../runner/process.ts";
import { buildRig, type Rig, type RigOptions } from "./rig.ts";

export interface ConnectedBoard {
  readonly rig: Rig;
  readonly launcher: Launcher;
  readonly id: string;
  /**
   * Waits for a status that `wanted` accepts, connected or not.
   * @throws Fault `process.timeout`.
   */
  readonly statusWhen: (what: string, wanted: (status: DeviceStatus) => boolean, timeoutMs?: number) => Promise<DeviceStatus>;
  /**
   * Waits for a record among the newest on the device; the hub gets it some seconds later.
   * @throws Fault `process.timeout`.
   */
  readonly recorded: (what: string, wanted: (record: AuditRecord) => boolean) => Promise<AuditRecord>;
  /** Signs the added targets and publishes them at the hub. */
  readonly publish: () => Promise<void>;
}

/** Each attempt costs a process or a record. */
const POLL_EVERY_MS = 200;

export async function connectedBoard(
  t: TestContext,
  options: RigOptions = {},
  launching: LauncherOptions = {},
): Promise<ConnectedBoard> {
  const rig = await buildRig(options);
  t.teardown(() => rig.stop());
  await rig.startHub();
  const launcher = createLauncher(rig, launching);
  t.teardown(() => launcher.stop());
  await launcher.powerOn();
  const { id } = await rig.hub.approve();
  const machine: ConnectedBoard = {
    rig,
    launcher,
    id,
    statusWhen: (what, wanted, timeoutMs = HANG_MS) =>
      eventually(
        what,
        async () => {
          const status = await rig.ask("status", deviceStatusSchema);
          return wanted(status) ? status : undefined;
        },
        timeoutMs,
        POLL_EVERY_MS,
      ),
    recorded: (what, wanted) =>
      eventually(
        what,
        async () =>
          (await rig.ask("audit.tail", OPERATIONS["audit.tail"].result, { count: AUDIT_TAIL_RECORDS_MAX })).records.find(wanted),
        HANG_MS,
        POLL_EVERY_MS,
      ),
    publish: async () => {
      await rig.release.sign();
      await rig.hub.command("release", "publish", rig.release.directory);
    },
  };
  await machine.statusWhen("the tunnel", ({ life }) => life === "connected");
  return machine;
}
