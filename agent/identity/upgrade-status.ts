// The upgrade of the device key in the device status. Pure. [ID-68] [ID-69]
import { Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import { isWeaker, type Protection } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import type { UpgradeState } from "../../provisioning/upgrade/index.ts";
import type { KeyUpgradeStatus } from "../status/format.ts";

const MESSAGE_CHARACTERS_MAX = 512;

export interface UpgradeFacts {
  /** The strongest protection that a new key could have; undefined until that was asked. */
  readonly strongest: Protection | undefined;
  readonly state: UpgradeState;
  readonly lastFault: Fault | undefined;
}

export function upgradeStatusOf(
  { protection }: Pick<DeviceKey, "protection">,
  { strongest, state, lastFault }: UpgradeFacts,
): KeyUpgradeStatus | undefined {
  if (state.at === "idle")
    return strongest !== undefined && isWeaker(protection, strongest) ? { to: strongest, state: "possible" } : undefined;
  const { to, order } = state.upgrade;
  const fault = lastFault && { code: lastFault.code, message: clip(lastFault.message, MESSAGE_CHARACTERS_MAX) };
  return { to, order, state: SHOWN[state.at], ...(fault === undefined ? {} : { lastFault: fault }) };
}

const SHOWN = {
  making: "ordered",
  requesting: "requesting",
  proving: "proving",
  replacing: "replacing",
  removing: "removing",
  abandoning: "removing",
} as const;

/** [ID-69] The fault of a key in a file that the TPM could keep; undefined while one is made. */
export function besideTpm(key: Pick<DeviceKey, "protection"> | undefined, { strongest, state }: UpgradeFacts): Fault | undefined {
  if (key?.protection !== "file" || strongest === undefined || strongest === "file" || state.at !== "idle") return undefined;
  const place = strongest === "tpm" ? "could keep it" : "could seal it";
  return new Fault(
    "key.file-beside-tpm",
    `the device key is in a file although the TPM of this board ${place}; an operator's order key.upgrade makes a stronger one`,
  );
}
