// What a target says about itself besides length and hashes: who it is for, which line it
// continues, and how far back a device may go. [OTA-11] [OTA-12]
import * as v from "valibot";
import { deviceIdSchema } from "../../../hal/format/identity.ts";

const LIST_MAX = 10_000;
export const COUNTER_MAX = 4_294_967_295;

/** Roles with keys of their own, each for the targets whose names begin with it. */
export const DELEGATED_ROLES = ["os", "app", "policy", "operators", "hub"] as const;
export type DelegatedRoleName = (typeof DELEGATED_ROLES)[number];

/** Stricter than TUF: fits into a path, a URL and a terminal without escaping, and cannot climb. */
export const targetNameSchema = v.pipe(
  v.string(),
  v.regex(
    /^(os|app|policy|operators|hub)\/[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/u,
    `expected a role (${DELEGATED_ROLES.join(", ")}), a slash and a name of letters, digits, '.', '_', '-'`,
  ),
);

const wordSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u, "expected 1 to 64 letters, digits, '.', '_', '-'"),
);
export const hardwareIdSchema = wordSchema;
export const tenantSchema = wordSchema;
export const groupSchema = wordSchema;
const counterSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(COUNTER_MAX));

/**
 * `os`, or `os/recovery` when a role keeps several lines. The first segment is the role, so that a
 * key of `policy/` cannot raise the floor of `os`.
 */
export const lineSchema = v.pipe(
  v.string(),
  v.regex(/^(os|app|policy|operators|hub)(\/[a-z0-9][a-z0-9-]{0,31})?$/u, "expected a line such as os or os/recovery"),
);

/**
 * [OTA-11] The devices a target is for. A tenant only narrows: alone it names no device. Group
 * names belong to a tenant.
 */
export const audienceSchema = v.pipe(
  v.strictObject({
    everyone: v.optional(v.literal(true)),
    tenant: v.optional(tenantSchema),
    devices: v.optional(v.pipe(v.array(deviceIdSchema), v.minLength(1), v.maxLength(LIST_MAX))),
    groups: v.optional(v.pipe(v.array(groupSchema), v.minLength(1), v.maxLength(LIST_MAX))),
  }),
  v.check(({ groups, tenant }) => groups === undefined || tenant !== undefined, "expected a tenant beside groups"),
);
export type Audience = v.InferOutput<typeof audienceSchema>;

/** Names that a text for people lists; the others are counted. */
const NAMES_SHOWN_MAX = 8;

/**
 * [OTA-11] Whom an audience reaches, as a text for people.
 * @returns undefined when it reaches nobody: a tenant alone names no device.
 */
export function reachOf(audience: Audience | undefined): string | undefined {
  if (audience === undefined) return undefined;
  const { everyone, tenant, devices = [], groups = [] } = audience;
  const narrowed = tenant === undefined ? "" : ` of tenant "${tenant}"`;
  if (everyone === true) return `every device${narrowed}`;
  const named = [
    ...(devices.length === 0 ? [] : [`${devices.length === 1 ? "device" : "devices"} ${listed(devices)}`]),
    ...(groups.length === 0 ? [] : [`${groups.length === 1 ? "group" : "groups"} ${listed(groups)}`]),
  ];
  return named.length === 0 ? undefined : `${named.join(" and ")}${narrowed}`;
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  return `${names.slice(0, NAMES_SHOWN_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** `any` must be written out: a target that names no hardware is for none. */
export const hardwareSchema = v.union([
  v.strictObject({ any: v.literal(true) }),
  v.strictObject({ ids: v.pipe(v.array(hardwareIdSchema), v.minLength(1), v.maxLength(64)) }),
]);

export const targetCustomSchema = v.pipe(
  v.strictObject({
    v: v.literal(1),
    line: lineSchema,
    /** Grows along a line. A counter below the line's floor is refused. */
    counter: counterSchema,
    /**
     * The floor after this target is committed. By default it is the counter that this one
     * replaces, so that the other slot stays usable.
     */
    floorAfterCommit: v.optional(counterSchema),
    hardware: hardwareSchema,
    audience: v.optional(audienceSchema),
  }),
  v.check(
    ({ counter, floorAfterCommit }) => floorAfterCommit === undefined || floorAfterCommit <= counter,
    "expected a floorAfterCommit no higher than the counter",
  ),
);
export type TargetCustom = v.InferOutput<typeof targetCustomSchema>;
