// How a step proves itself: by assertions, and by waiting for a state of the device.
import { Fault } from "../../hal/fault.ts";
import type { DeviceStatus } from "../../agent/status/format.ts";
import { eventually, HANG_MS } from "../lab/runner/process.ts";
import type { World } from "./world.ts";

/** @throws Fault `process.failed`: the step did not happen. */
export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Fault("process.failed", `this did not happen: ${what}`);
}

export async function statusWhen(
  { rig }: Pick<World, "rig">,
  what: string,
  wanted: (status: DeviceStatus) => boolean,
  timeoutMs = HANG_MS,
): Promise<DeviceStatus> {
  return eventually(
    what,
    async () => {
      const status = await rig.status();
      return wanted(status) ? status : undefined;
    },
    timeoutMs,
    200,
  );
}
