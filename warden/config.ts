// The warden's configuration file: every setting, its bounds and its safe default. All faults at once, unknown settings refused.
import * as v from "valibot";
import { join } from "node:path";
import { parseConfigFile } from "../hal/format/config.ts";
import { portSchema } from "../ota/format/anchors.ts";
import { parsePrefix } from "./lockdown/format/index.ts";
import type { HubEndpoint } from "./lockdown/index.ts";
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
  /** What the image says of itself: version, hardware id. */
  image: v.optional(pathSchema, "/usr/share/sallyport/image.json"),
  /** TUF root of the image; a newer one in the store is used before it. [OTA-8] */
  trustRoot: v.optional(pathSchema, "/usr/share/sallyport/root.json"),
  /** The image's lockdown policy: holds until another one is confirmed. [LCK-1] */
  basePolicy: v.optional(pathSchema, "/usr/share/sallyport/policy.json"),
  /** Where the agent leaves files for us. Nothing in it is believed. [OTA-32] */
  handover: v.optional(pathSchema, "/var/lib/sallyport/handover"),
  lockdown: v.optional(
    v.strictObject({
      /** `nft`: the kernel's packet filter. `none`: nothing is filtered, and the status says so; a board that is only a folder has no network of its own. Left out: `nft` on a machine, `none` where boardRoot is another folder. */
      firewall: v.optional(v.picklist(["nft", "none"])),
      /** tty of the maintenance console, without /dev/: no plan may cut it. */
      console: v.optional(v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected a line's name such as ttyS0"))),
      /** Further ways to the hub that no plan may cut, besides those of the anchors: a proxy, another port. [LCK-3] */
      hubEndpoints: v.optional(
        v.pipe(
          v.array(
            v.strictObject({
              /** Left out: it has a name, so it may be anywhere. */
              address: v.optional(
                v.pipe(
                  v.string(),
                  v.maxLength(39),
                  v.check((text) => !text.includes("/") && parsePrefix(text) !== undefined, "expected an IPv4 or IPv6 address"),
                ),
              ),
              port: portSchema,
            }),
          ),
          v.maxLength(8),
        ),
        [],
      ),
    }),
    {},
  ),
  update: v.optional(
    v.strictObject({
      /** `signed`: a signed release that the hub asked for is tried as soon as it is written. `order`: it waits for an operator's order. */
      approval: v.optional(v.picklist(["signed", "order"]), "signed"),
      /** What a new system must show before it is committed. */
      checks: v.optional(v.array(v.picklist(["agent", "hub", "lockdown"])), ["agent", "hub", "lockdown"]),
      /** Seconds since its boot in which it must show that. The timer outside has the same. [OTA-35] */
      trialS: v.optional(v.pipe(v.number(), v.integer(), v.minValue(3), v.maxValue(3600)), 600),
      /** The program that writes a slot, started by the warden with the warden's rights. */
      installer: v.optional(pathSchema, "/usr/lib/sallyport/sallyport-install/main.js"),
      /** Instead: where systemd listens and starts it for a connection, with rights of its own. */
      installerSocket: v.optional(pathSchema),
    }),
    {},
  ),
  /** Slot images and boot choice, where slots are files. Left out: `slots` below boardRoot. */
  slots: v.optional(pathSchema),
  /** Left out: slots are files. Else they are partitions `root-a` and `root-b`, with kernel images that systemd-boot boots. [OTA-34] */
  systemdBoot: v.optional(
    v.strictObject({
      /** Where the EFI system partition is mounted. */
      esp: v.optional(pathSchema, "/boot"),
      /** Boots that a trial gets: with 2, one power cut during a trial does not end it. */
      tries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3)), 2),
    }),
  ),
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

type Given = v.InferOutput<typeof configSchema>;

export interface WardenConfig extends Omit<Given, "buildDate" | "lockdown" | "commissionedIdFile" | "slots"> {
  readonly slots: string;
  readonly commissionedIdFile: string | undefined;
  readonly buildDateMs: number;
  readonly lockdown: {
    readonly firewall: "nft" | "none";
    readonly console: string | undefined;
    readonly hubEndpoints: readonly HubEndpoint[];
  };
}

/** @throws Fault `config.invalid` naming every setting that is wrong. */
export function parseConfig(bytes: Uint8Array, file: string): WardenConfig {
  const { buildDate, commissionedIdFile, lockdown, slots, ...rest } = parseConfigFile(
    configSchema,
    bytes,
    CONFIG_BYTES_MAX,
    `configuration "${file}"`,
  );
  return Object.freeze({
    ...rest,
    commissionedIdFile,
    slots: slots ?? join(rest.boardRoot, "slots"),
    buildDateMs: Date.parse(buildDate),
    lockdown: Object.freeze({
      firewall: lockdown.firewall ?? (rest.boardRoot === "/" ? "nft" : "none"),
      console: lockdown.console,
      hubEndpoints: Object.freeze(lockdown.hubEndpoints.map(({ address, port }) => Object.freeze({ address, port }))),
    }),
  });
}
