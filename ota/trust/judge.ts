// The judgement whether a target is for this device. Agent and warden both make it, each from its
// own knowledge. Pure. [OTA-11] [OTA-12]
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { quoted } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type Audience, type TargetCustom, targetCustomSchema, targetNameSchema } from "./format/target.ts";
import type { Target } from "./search.ts";

/**
 * What a target is compared with. The warden takes the id from hardware and the rest from its own
 * records, never from the agent.
 */
export interface DeviceFacts {
  readonly id: DeviceId;
  readonly hardware: string;
  readonly tenant: string | undefined;
  /** The tenant's groups that this device is in. */
  readonly groups: readonly string[];
  /**
   * The lowest counter that may still be installed, by line. A line that is not listed has no floor
   * yet.
   */
  readonly floors: ReadonlyMap<string, number>;
}

export type TargetRefusal = "custom" | "line" | "audience" | "hardware" | "floor";

export type TargetVerdict =
  | { readonly kind: "accepted"; readonly custom: TargetCustom }
  | { readonly kind: "refused"; readonly reason: TargetRefusal; readonly message: string };

/**
 * [OTA-11] The default is to refuse: a target that says nothing, or something unknown, about its
 * audience or hardware is for no device. [OTA-12] Its line must belong to the role that its name
 * begins with, and its counter must not be below the line's floor.
 */
export function judgeTarget({ path, file }: Target, device: DeviceFacts): TargetVerdict {
  const custom = customOf(path, file.custom);
  if (custom instanceof Fault) return refused("custom", custom.message);
  const [role] = path.split("/");
  const { line, counter, hardware, audience } = custom;
  if (line.split("/")[0] !== role)
    return refused("line", `target "${path}" belongs to role "${role}" but claims the line "${line}"`);
  const floor = device.floors.get(line) ?? 0;
  const missed = audience === undefined ? "it names no audience" : whyNotFor(audience, device);
  if (missed !== undefined) return refused("audience", `target "${path}" is not for device "${device.id}": ${missed}`);
  if (!("any" in hardware) && !hardware.ids.includes(device.hardware))
    return refused("hardware", `target "${path}" is for ${hardware.ids.join(", ")}, but this device is "${device.hardware}"`);
  if (counter < floor)
    return refused("floor", `target "${path}" has counter ${counter}, but the floor of line "${line}" is ${floor}`);
  return { kind: "accepted", custom };
}

/**
 * [OTA-21] The floor of a line after `custom` was committed in place of `replaced`. It never falls.
 * @param replaced the counter that ran before; undefined for the first one of a line, which leaves
 *   the floor unchanged.
 */
export function floorAfterCommit(custom: TargetCustom, replaced: number | undefined, floor: number): number {
  return Math.max(floor, Math.min(custom.counter, custom.floorAfterCommit ?? replaced ?? floor));
}

function refused(reason: TargetRefusal, message: string): TargetVerdict {
  return { kind: "refused", reason, message };
}

/** An unknown or missing member is a reason to refuse, not to fail. */
export function customOf(path: string, custom: unknown): TargetCustom | Fault {
  try {
    check(targetNameSchema, path, `target name ${quoted(path)}`, "trust.invalid");
    return check(targetCustomSchema, custom, `custom of target "${path}"`, "trust.invalid");
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

/** @returns undefined when the target is for this device. */
export function whyNotFor(
  { everyone, tenant, devices, groups }: Audience,
  device: Pick<DeviceFacts, "id" | "tenant" | "groups">,
): string | undefined {
  if (tenant !== undefined && tenant !== device.tenant)
    return `it is for tenant "${tenant}", but this device is ${device.tenant === undefined ? "assigned to none" : `of "${device.tenant}"`}`;
  if (everyone === true || devices?.includes(device.id) === true) return undefined;
  if (groups?.some((group) => device.groups.includes(group)) === true) return undefined;
  return devices === undefined && groups === undefined ? "it names no devices" : "it is not among those named";
}
