// The four kinds of metadata file, TUF sections 4.3 to 4.6. Unknown members pass, as section 4
// demands: they are under the signature, and nothing here reads them.
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { tufKeySchema } from "./keys.ts";
import { momentSchema } from "./moment.ts";

/** Keys of a role, and signatures on a file. This bounds the work of one verification. */
const KEYS_MAX = 64;
const DELEGATIONS_MAX = 64;
/** Patterns, or hash prefixes, of one delegation. Each is compared with each target's name. */
const PATHS_MAX = 256;
const NAME_CHARACTERS_MAX = 512;

export const TOP_LEVEL_ROLES = ["root", "timestamp", "snapshot", "targets"] as const;
export type TopLevelRole = (typeof TOP_LEVEL_ROLES)[number];

/**
 * A Map, so that a name from the repository is never looked up among the members that every object
 * inherits. valibot drops "__proto__", "constructor" and "prototype" on the way.
 */
function mapOf<const S extends v.GenericSchema>(members: S) {
  return v.pipe(
    v.record(v.pipe(v.string(), v.maxLength(NAME_CHARACTERS_MAX)), members),
    v.transform((record): ReadonlyMap<string, v.InferOutput<S>> => new Map(Object.entries(record))),
  );
}

const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const lengthSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const keyIdSchema = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const hashesSchema = mapOf(v.pipe(v.string(), v.maxLength(256)));

const common = {
  /** Section 4.3: a client refuses another major version. */
  spec_version: v.pipe(v.string(), v.maxLength(32), v.regex(/^1\.\d+(\.\d+)?$/u, "expected specification version 1")),
  version: countSchema,
  expires: momentSchema,
  /** Our extension: when an offline key signed this. It raises the time floor. [OTA-13] */
  signedAt: v.optional(momentSchema),
};

const roleKeys = {
  keyids: v.pipe(
    v.array(keyIdSchema),
    v.maxLength(KEYS_MAX),
    v.check((ids) => new Set(ids).size === ids.length, "expected each key id once"),
  ),
  threshold: countSchema,
};
export const roleSchema = v.object(roleKeys);
export type Role = v.InferOutput<typeof roleSchema>;

const keysSchema = mapOf(tufKeySchema);

export const rootSchema = v.object({
  _type: v.literal("root"),
  ...common,
  consistent_snapshot: v.optional(v.boolean(), false),
  keys: keysSchema,
  roles: v.object({ root: roleSchema, timestamp: roleSchema, snapshot: roleSchema, targets: roleSchema }),
});
export type Root = v.InferOutput<typeof rootSchema>;

const metaFileSchema = v.object({
  version: countSchema,
  length: v.optional(lengthSchema),
  hashes: v.optional(hashesSchema),
});
export type MetaFile = v.InferOutput<typeof metaFileSchema>;

export const timestampSchema = v.object({
  _type: v.literal("timestamp"),
  ...common,
  meta: v.object({ "snapshot.json": metaFileSchema }),
});
export type Timestamp = v.InferOutput<typeof timestampSchema>;

export const snapshotSchema = v.object({
  _type: v.literal("snapshot"),
  ...common,
  meta: v.pipe(
    mapOf(metaFileSchema),
    v.check((meta) => meta.has("targets.json"), "expected targets.json among the files"),
  ),
});
export type Snapshot = v.InferOutput<typeof snapshotSchema>;

const targetFileSchema = v.object({
  length: lengthSchema,
  hashes: hashesSchema,
  custom: v.optional(v.unknown()),
});
export type TargetFile = v.InferOutput<typeof targetFileSchema>;

const delegationSchema = v.pipe(
  v.object({
    name: v.pipe(
      v.string(),
      v.minLength(1),
      v.maxLength(NAME_CHARACTERS_MAX - ".json".length),
      v.check((name) => !TOP_LEVEL_ROLES.some((role) => role === name), "expected another name than a top-level role's"),
    ),
    ...roleKeys,
    terminating: v.boolean(),
    paths: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(NAME_CHARACTERS_MAX))), v.maxLength(PATHS_MAX))),
    path_hash_prefixes: v.optional(
      v.pipe(v.array(v.pipe(v.string(), v.regex(/^[0-9a-f]{1,64}$/u, "expected hex digits"))), v.maxLength(PATHS_MAX)),
    ),
  }),
  v.check(
    ({ paths, path_hash_prefixes }) => (paths === undefined) !== (path_hash_prefixes === undefined),
    "expected either paths or path_hash_prefixes",
  ),
);
export type Delegation = v.InferOutput<typeof delegationSchema>;

export const targetsSchema = v.object({
  _type: v.literal("targets"),
  ...common,
  targets: mapOf(targetFileSchema),
  delegations: v.optional(
    v.object({
      keys: keysSchema,
      /**
       * Absent where TAP 15's succinct_roles are used, which are not supported: such a file
       * delegates nothing to us.
       */
      roles: v.optional(
        v.pipe(
          v.array(delegationSchema),
          v.maxLength(DELEGATIONS_MAX),
          v.check((roles) => new Set(roles.map(({ name }) => name)).size === roles.length, "expected each role's name once"),
        ),
        [],
      ),
    }),
  ),
});
export type Targets = v.InferOutput<typeof targetsSchema>;

const envelopeSchema = v.object({
  signed: v.unknown(), // kept as it is, because all of it is signed
  signatures: v.pipe(
    v.array(v.object({ keyid: keyIdSchema, sig: v.pipe(v.string(), v.maxLength(16_384)) })),
    v.maxLength(KEYS_MAX),
    // Section 4.2: "The keyid MUST be unique in the signatures array: multiple signatures with the
    // same keyid are not allowed"
    v.check(
      (signatures) => new Set(signatures.map(({ keyid }) => keyid)).size === signatures.length,
      "expected each key id once",
    ),
  ),
});
export type Signature = v.InferOutput<typeof envelopeSchema>["signatures"][number];

/** A metadata file of which only the signatures were read. */
export interface Envelope {
  readonly signed: unknown;
  readonly signatures: readonly Signature[];
}

/** A metadata file that was parsed. */
export interface Metadata<S> {
  readonly signed: S;
  readonly signatures: readonly Signature[];
}

/**
 * [OTA-9] [STA-12] Reads what can be judged without the signed part: the size, the depth and the
 * number of values, and the form of the signatures. No message quotes the file: it comes from the
 * network, or from a directory of another user. [STA-11]
 * @throws Fault `trust.too-large` above `bytesMax`; `trust.invalid` for any other form.
 */
export function parseEnvelope(bytes: Uint8Array, bytesMax: number, what: string): Envelope {
  if (bytes.byteLength > bytesMax)
    throw new Fault("trust.too-large", `${what} has ${bytes.byteLength} bytes, at most ${bytesMax} are accepted`);
  return check(envelopeSchema, json(bytes, bytesMax, what), what, "trust.invalid", "withheld");
}

/**
 * [OTA-9] Reads the signed part as one kind of metadata. Only the form is checked.
 * @throws Fault `trust.invalid` for any other form.
 */
export function parseSigned<const S extends v.GenericSchema>(
  schema: S,
  { signed, signatures }: Envelope,
  what: string,
): Metadata<v.InferOutput<S>> {
  return { signed: check(schema, signed, what, "trust.invalid", "withheld"), signatures };
}

function json(bytes: Uint8Array, bytesMax: number, what: string): unknown {
  try {
    return parseJson(bytes, bytesMax, what, { quoting: "withheld" });
  } catch (error) {
    if (error instanceof Fault && error.code === "json.invalid")
      throw new Fault("trust.invalid", error.message, { cause: error });
    throw error;
  }
}
