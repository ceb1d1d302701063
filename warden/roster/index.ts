// The roster in use: whose device this is, and whose key signed. [OPS-8]
import type { KeyObject } from "node:crypto";
import type { DeviceId } from "../../hal/format/identity.ts";
import { orderKey, orderKeyId } from "../orders/format/index.ts";
import type { Roster } from "./format.ts";

export type Operator = Roster["operators"][number];

/** The tenant's groups that list `deviceId`. */
export function groupsOf(roster: Roster, deviceId: DeviceId): readonly string[] {
  return Object.entries(roster.groups).flatMap(([group, devices]) => (devices.includes(deviceId) ? [group] : []));
}

/** Every key of the roster by its id, with the operator it stands for. [OPS-8] */
export function keysOf({ operators }: Roster): ReadonlyMap<string, { readonly key: KeyObject; readonly operator: Operator }> {
  return new Map(
    operators.flatMap((operator) =>
      operator.keys.flatMap((text) => {
        const key = orderKey(text);
        return key === undefined ? [] : [[orderKeyId(key), { key, operator }] as const];
      }),
    ),
  );
}
