// The warden's configuration file: every setting, its bounds and its safe default. All faults at once, unknown settings refused.
import * as v from "valibot";
import { parseConfigFile } from "../hal/format/config.ts";
import { SOCKET_PATH_BYTES_MAX } from "./socket/index.ts";
import { BUILD_DATE_MS_MIN } from "./time/index.ts";

export const CONFIG_BYTES_MAX = 16_384;
/** A few full segments: below this every new one would push out one that the hub may not have seen. */
const AUDIT_BYTES_MIN = 4_194_304;
const AUDIT_BYTES_MAX = 4_294_967_296;

const pathSchema = v.pipe(
  v.string(),
  v.maxLength(1024),
  v.regex(/^\/[^\u0000]*$/u, "expected an absolute path"),
  v.check((path) => !path.split("/").includes(".."), 'expected a path without ".."'),
);

const buildDateSchema = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{3})?Z)?$/u, "expected a date such as 2026-11-30 or 2026-11-30T12:00:00Z"),
  v.check((date) => Number.isFinite(Date.parse(date)), "expected a date that exists"),
);

const configSchema = v.strictObject({
  /** Lock, records, audit key and log; 0700, root. */
  stateDirectory: v.optional(pathSchema, "/var/lib/sallyport-warden"),
  /** The public birth record; on a partition that is not encrypted with the device's key. [ID-6] */
  birthDirectory: v.optional(pathSchema, "/boot/sallyport"),
  /** Made by the warden with mode 0660; its directory is made outside, setgid for the agent's group. [OPS-1] */
  socket: v.optional(
    v.pipe(
      pathSchema,
      v.check(
        (path) => Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX,
        `expected at most ${SOCKET_PATH_BYTES_MAX} bytes, unix(7)`,
      ),
    ),
    "/run/sallyport/warden.sock",
  ),
  /** The hub's address and keys, from the image. Without it the device runs, and neither time nor witness is believed. */
  anchors: v.optional(pathSchema, "/usr/share/sallyport/hub.json"),
  /** Where the kernel's view starts: another folder for a simulated board. */
  boardRoot: v.optional(pathSchema, "/"),
  /** An id given at commissioning, one line; from an EEPROM or by the owner. [ID-1] */
  commissionedIdFile: v.optional(pathSchema),
  /** The image's build date: the floor of the clock. [ID-10] */
  buildDate: v.optional(buildDateSchema, new Date(BUILD_DATE_MS_MIN).toISOString()),
  /** False for a simulated board: hub time then steps a clock of the warden's own, never the machine's. */
  setClock: v.optional(v.boolean(), true),
  audit: v.optional(
    v.strictObject({
      bytesMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(AUDIT_BYTES_MIN), v.maxValue(AUDIT_BYTES_MAX)), 16_777_216),
    }),
    {},
  ),
});

export interface WardenConfig {
  readonly stateDirectory: string;
  readonly birthDirectory: string;
  readonly socket: string;
  readonly anchors: string;
  readonly boardRoot: string;
  readonly commissionedIdFile: string | undefined;
  readonly buildDateMs: number;
  readonly setClock: boolean;
  readonly audit: { readonly bytesMax: number };
}

/** @throws Fault `config.invalid` naming every setting that is wrong. */
export function parseConfig(bytes: Uint8Array, file: string): WardenConfig {
  const { audit, buildDate, commissionedIdFile, ...rest } = parseConfigFile(
    configSchema,
    bytes,
    CONFIG_BYTES_MAX,
    `configuration "${file}"`,
  );
  return Object.freeze({
    ...rest,
    commissionedIdFile,
    buildDateMs: Date.parse(buildDate),
    audit: Object.freeze({ bytesMax: audit.bytesMax }),
  });
}
