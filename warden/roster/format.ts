// The roster: who may give orders on a device and log in, and the tenant that the device belongs
// to. It is the payload of an `operators/` target. [OPS-8]
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson, REPORT_VALUES_MAX } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { type DeviceId, deviceIdSchema } from "../../hal/format/identity.ts";
import { groupSchema, tenantSchema } from "../../ota/trust/format/index.ts";
import { orderKeySchema } from "../order-key/format.ts";

export const ROSTER_BYTES_MAX = 262_144;
const OPERATORS_MAX = 256;
const KEYS_MAX = 4;
const GROUPS_MAX = 64;
const GROUP_DEVICES_MAX = 4096;

/**
 * From least to most. What each role may request is in the table of operations, and what it may
 * order is in warden/orders: roles are data there, not code.
 */
export const OPERATOR_ROLES = ["guest", "viewer", "technician", "maintainer", "security-admin", "auditor", "owner"] as const;
export const operatorRoleSchema = v.picklist(OPERATOR_ROLES);
export type OperatorRole = v.InferOutput<typeof operatorRoleSchema>;

/** The id of a person, or `local-root`, `console`, `hub`. */
export const principalIdSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}$/, "expected an id of letters, digits, '@', '.', '_', ':', '-'"),
);

const operatorSchema = v.strictObject({
  id: principalIdSchema,
  /** For people. */
  name: v.optional(v.pipe(v.string(), v.maxLength(64))),
  roles: v.pipe(v.array(operatorRoleSchema), v.minLength(1), v.maxLength(OPERATOR_ROLES.length)),
  keys: v.pipe(v.array(orderKeySchema), v.minLength(1), v.maxLength(KEYS_MAX)),
});

export const rosterSchema = v.pipe(
  v.strictObject({
    v: v.literal(1),
    /** The owner of the device. */
    tenant: v.optional(tenantSchema),
    /** The tenant's groups by name, each with its devices. */
    groups: v.optional(
      v.pipe(
        v.record(groupSchema, v.pipe(v.array(deviceIdSchema), v.maxLength(GROUP_DEVICES_MAX))),
        v.check((groups) => Object.keys(groups).length <= GROUPS_MAX, `expected at most ${GROUPS_MAX} groups`),
      ),
      {},
    ),
    operators: v.pipe(v.array(operatorSchema), v.maxLength(OPERATORS_MAX)),
  }),
  v.check(({ operators }) => new Set(operators.map(({ id }) => id)).size === operators.length, "expected every operator once"),
  v.check(({ operators }) => {
    const keys = operators.flatMap((operator) => operator.keys);
    return new Set(keys).size === keys.length;
  }, "expected every key once, so that a key identifies one operator"),
);
export type Roster = v.InferOutput<typeof rosterSchema>;

/**
 * [OPS-8] The roster in `bytes`, whose signature was checked before.
 * @throws Fault `roster.invalid` naming every fault.
 */
export function parseRoster(bytes: Uint8Array): Roster {
  try {
    return check(
      rosterSchema,
      parseJson(bytes, ROSTER_BYTES_MAX, "roster", { membersMax: REPORT_VALUES_MAX, duplicates: "refused" }),
      "roster",
      "roster.invalid",
    );
  } catch (error) {
    const fault = asFault(error, "roster.invalid", "read the roster");
    throw fault.code === "roster.invalid" ? fault : new Fault("roster.invalid", fault.message, { cause: error });
  }
}

export type Operator = Roster["operators"][number];

/** The tenant's groups that list `deviceId`. */
export function groupsOf(roster: Roster, deviceId: DeviceId): readonly string[] {
  return Object.entries(roster.groups).flatMap(([group, devices]) => (devices.includes(deviceId) ? [group] : []));
}
