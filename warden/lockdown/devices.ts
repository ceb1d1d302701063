// The verdict on each USB device that is plugged in, with its reason. [LCK-8] [LCK-14]
import type { UsbState } from "../../hal/ports.ts";
import type { Plan } from "./format/index.ts";
import { judgeDevices } from "./plan/index.ts";

export interface JudgedUsbDevice {
  readonly port: string;
  /** The kernel's device number. */
  readonly number: number;
  /** Differs each time a device is plugged in, even for the same device. */
  readonly key: string;
  readonly authorized: boolean;
  /** For people; printable. */
  readonly why: string;
  /** What the device claims to be; undefined when its descriptors make no sense. */
  readonly claims: UsbState["devices"][number]["claims"];
}

/** @param plan undefined when nothing was planned yet, so no device was authorized. */
export function judgedDevices(plan: Plan | undefined, { devices }: UsbState): readonly JudgedUsbDevice[] {
  const rules = plan?.usb ?? { allow: [], disable: [] };
  const verdicts = new Map(judgeDevices(rules, devices).map((verdict) => [verdict.port, verdict]));
  return devices.map(({ port, number, descriptors, authorized, claims }) => {
    const verdict = verdicts.get(port);
    const why = verdict?.authorized === true && !authorized ? "a rule allows it, but it could not be authorized" : verdict?.why;
    return { port, number, key: `${port} ${number} ${descriptors ?? "unread"}`, authorized, why: why ?? "not judged", claims };
  });
}
