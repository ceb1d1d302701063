// The refusals of a device, explained for its operator. The code is for machines.
import { Fault } from "../../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import type { Device } from "../store/index.ts";
import { isWeakerClaim } from "./protection.ts";

export function denied(id: DeviceId, fingerprint: Fingerprint): Fault {
  return new Fault("hub.device-denied", `device "${id}" with key ${fingerprint} was denied by an operator`);
}

export function revoked(id: DeviceId, fingerprint: Fingerprint): Fault {
  return new Fault(
    "hub.device-revoked",
    `device "${id}" with key ${fingerprint} was revoked, and a revoked key is never let in again; only after the owner's reset the device asks with a new one`,
  );
}

export function unknownPair(known: readonly Device[], id: DeviceId, fingerprint: Fingerprint): Fault {
  const seen = known.map((device) => `${device.fingerprint} (${device.state})`).join(", ");
  return new Fault(
    "hub.device-unknown",
    `no device "${id}" has asked with key ${fingerprint}; ${seen === "" ? "no key has asked with that id" : `keys seen with that id: ${seen}`}`,
  );
}

/** [ID-62] What an operator types to put a key in the place of the one in force. */
export function replaceCommand(
  { id, fingerprint, protection }: Pick<Device, "id" | "fingerprint" | "protection">,
  inForce: Pick<Device, "protection">,
): string {
  return `devices replace ${id} ${fingerprint}${isWeakerClaim(protection, inForce.protection) ? " --weaker" : ""}`;
}
