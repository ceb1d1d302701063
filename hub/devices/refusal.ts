// The refusals of a device, explained for its operator. The code is for machines.
import { Fault } from "../../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";

export function denied(id: DeviceId, fingerprint: Fingerprint): Fault {
  return new Fault("hub.device-denied", `device "${id}" with key ${fingerprint} was denied by an operator`);
}

export function revoked(id: DeviceId, fingerprint: Fingerprint): Fault {
  return new Fault(
    "hub.device-revoked",
    `device "${id}" with key ${fingerprint} was revoked, and a revoked key is never let in again; only after the owner's reset the device asks with a new one`,
  );
}
