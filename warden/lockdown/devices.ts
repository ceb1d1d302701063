// What became of each USB device that is plugged in, and why. [LCK-8] [LCK-14]
import type { UsbState } from "../../hal/ports.ts";
import type { Plan } from "./format/index.ts";
import { judgeDevices } from "./plan/index.ts";

export interface JudgedUsbDevice {
  readonly port: string;
  /** Another one whenever a device is plugged in, even the same again. */
  readonly key: string;
  readonly authorized: boolean;
  /** For people; printable ASCII. */
  readonly why: string;
  /** What it says of itself; undefined when that makes no sense. */
  readonly claims: UsbState["devices"][number]["claims"];
}

/** @param plan undefined: nothing was planned yet, so nothing was let in. */
export function judgedDevices(plan: Plan | undefined, { devices }: UsbState): readonly JudgedUsbDevice[] {
  const rules = plan?.usb ?? { allow: [], disable: [] };
  const verdicts = new Map(judgeDevices(rules, devices).map((verdict) => [verdict.port, verdict]));
  return devices.map(({ port, number, descriptors, authorized, claims }) => {
    const verdict = verdicts.get(port);
    const why = verdict?.authorized === true && !authorized ? "a rule allows it, but it could not be authorized" : verdict?.why;
    return { port, key: `${port} ${number} ${descriptors}`, authorized, why: why ?? "not judged", claims };
  });
}
