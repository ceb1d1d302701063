// The warden's configuration file: every setting with its bounds and its safe default. All faults
// are reported at once, and unknown settings are refused.
import * as v from "valibot";
import { join } from "node:path";
import { parseConfigFile } from "../hal/format/config.ts";
import { portSchema } from "../ota/format/anchors.ts";
import { parsePrefix } from "./lockdown/format/index.ts";
import type { HubEndpoint } from "./lockdown/index.ts";
import { SOCKET_PATH_BYTES_MAX } from "./socket/index.ts";
import { BUILD_DATE_MS_MIN } from "./time/index.ts";

export const CONFIG_BYTES_MAX = 16_384;
/**
 * A few full segments: with less, every new segment would displace one that the hub may not have
 * seen.
 */
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
  /** Directory of lock, records, audit key and log; mode 0700, owner root. */
  stateDirectory: v.optional(pathSchema, "/var/lib/sallyport-warden"),
  /**
   * Directory of the public birth record, on a partition that is not encrypted with the device's
   * key. [ID-6]
   */
  birthDirectory: v.optional(pathSchema, "/boot/sallyport"),
  /**
   * The warden creates it with mode 0660. Its directory is created elsewhere, setgid for the
   * agent's group. [OPS-1]
   */
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
  /**
   * The hub's address and keys, from the image. Without them the device runs, but trusts neither
   * time nor witness.
   */
  anchors: v.optional(pathSchema, "/usr/share/sallyport/hub.json"),
  /** Facts of the image: version, hardware id. */
  image: v.optional(pathSchema, "/usr/share/sallyport/image.json"),
  /** TUF root of the image; a newer root in the store takes precedence. [OTA-23] */
  trustRoot: v.optional(pathSchema, "/usr/share/sallyport/root.json"),
  /** The image's lockdown policy, in force until another one is confirmed. [LCK-1] */
  basePolicy: v.optional(pathSchema, "/usr/share/sallyport/policy.json"),
  /** The hand-over directory, where the agent leaves files. Its content is not trusted. [OTA-32] */
  handover: v.optional(pathSchema, "/var/lib/sallyport/handover"),
  lockdown: v.optional(
    v.strictObject({
      /**
       * `nft`: the kernel's packet filter. `none`: nothing is filtered, and the status says so; a
       * board that is only a folder has no network of its own. The default is `nft` on a machine
       * and `none` where boardRoot is another folder.
       */
      firewall: v.optional(v.picklist(["nft", "none"])),
      /** The tty of the maintenance console, without /dev/. No policy may cut it. */
      console: v.optional(v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected a line's name such as ttyS0"))),
      /**
       * Further endpoints of the hub that no policy may cut, besides those of the anchors: a proxy,
       * another port. [LCK-3]
       */
      hubEndpoints: v.optional(
        v.pipe(
          v.array(
            v.strictObject({
              /** Absent where the endpoint has a name: it may be at any address. */
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
      /**
       * `signed`: a signed release that the hub requested is tried as soon as it is written.
       * `order`: it waits for an operator's order.
       */
      approval: v.optional(v.picklist(["signed", "order"]), "signed"),
      /** Checks that a new system must pass before it is committed. */
      checks: v.optional(v.array(v.picklist(["agent", "hub", "lockdown"])), ["agent", "hub", "lockdown"]),
      /**
       * Seconds from its boot in which it must pass them. The timer outside the warden uses the
       * same. [OTA-60]
       */
      trialS: v.optional(v.pipe(v.number(), v.integer(), v.minValue(3), v.maxValue(3600)), 600),
      /** The program that writes a slot. The warden starts it with its own rights. */
      installer: v.optional(pathSchema, "/usr/lib/sallyport/sallyport-install/main.js"),
      /**
       * Replaces `installer`: the socket where systemd listens and starts it for a connection, with
       * rights of its own.
       */
      installerSocket: v.optional(pathSchema),
    }),
    {},
  ),
  /**
   * Directory of slot images and boot choice, where slots are files. The default is `slots` below
   * boardRoot.
   */
  slots: v.optional(pathSchema),
  /**
   * When given, slots are the partitions `root-a` and `root-b`, with kernel images that
   * systemd-boot boots. Otherwise slots are files. [OTA-34]
   */
  systemdBoot: v.optional(
    v.strictObject({
      /** Mount point of the EFI system partition. */
      esp: v.optional(pathSchema, "/boot"),
      /** Boots of one trial: with 2, one power cut does not end a trial. */
      tries: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(3)), 2),
    }),
  ),
  tpm: v.optional(
    v.strictObject({
      /**
       * The way to the TPM, as tpm2-tss writes it. The default is `device:/dev/tpmrm0` on a machine
       * and none where boardRoot is another folder.
       */
      tcti: v.optional(
        v.pipe(
          v.string(),
          v.maxLength(256),
          v.regex(/^(?:device|swtpm):[\w./,:=-]+$/u, "expected device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321"),
        ),
      ),
      /**
       * `take`: the warden takes ownership of a TPM that nobody owns. `leave`: it does not, and
       * still keeps one that it took before. The default is `take` on a machine and `leave` where
       * boardRoot is another folder. [ID-52]
       */
      ownership: v.optional(v.picklist(["take", "leave"])),
      /**
       * The owner's public key, a JWK, under which the passwords of the TPM are escrowed. Nothing
       * is escrowed where there is no such file. [ID-54]
       */
      escrowKey: v.optional(pathSchema),
    }),
    {},
  ),
  /** Root of /proc, /sys and /dev: another folder for a simulated board. */
  boardRoot: v.optional(pathSchema, "/"),
  /**
   * File with an id that was assigned at commissioning, in one line: from an EEPROM or by the
   * owner. By default `device-id` beside the birth record. [ID-1]
   */
  commissionedIdFile: v.optional(pathSchema),
  /** The image's build date, which is the floor of the clock. [ID-22] */
  buildDate: v.optional(buildDateSchema, new Date(BUILD_DATE_MS_MIN).toISOString()),
  /**
   * False for a simulated board: the hub's time then steps a clock inside the warden, never the
   * machine's.
   */
  setClock: v.optional(v.boolean(), true),
  audit: v.optional(
    v.strictObject({
      bytesMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(AUDIT_BYTES_MIN), v.maxValue(AUDIT_BYTES_MAX)), 16_777_216),
    }),
    {},
  ),
});

type ConfigFile = v.InferOutput<typeof configSchema>;

export interface WardenConfig extends Omit<ConfigFile, "buildDate" | "lockdown" | "commissionedIdFile" | "slots" | "tpm"> {
  readonly slots: string;
  readonly commissionedIdFile: string | undefined;
  readonly buildDateMs: number;
  readonly tpm: { readonly tcti: string | undefined; readonly ownership: "take" | "leave"; readonly escrowKey: string };
  readonly lockdown: {
    readonly firewall: "nft" | "none";
    readonly console: string | undefined;
    readonly hubEndpoints: readonly HubEndpoint[];
  };
}

/** @throws Fault `config.invalid` that names every wrong setting. */
export function parseConfig(bytes: Uint8Array, file: string): WardenConfig {
  const { buildDate, commissionedIdFile, lockdown, slots, tpm, ...rest } = parseConfigFile(
    configSchema,
    bytes,
    CONFIG_BYTES_MAX,
    `configuration "${file}"`,
  );
  const isMachine = rest.boardRoot === "/";
  return Object.freeze({
    ...rest,
    commissionedIdFile: commissionedIdFile ?? (isMachine ? join(rest.birthDirectory, "device-id") : undefined),
    slots: slots ?? join(rest.boardRoot, "slots"),
    buildDateMs: Date.parse(buildDate),
    tpm: Object.freeze({
      tcti: tpm.tcti ?? (isMachine ? "device:/dev/tpmrm0" : undefined),
      ownership: tpm.ownership ?? (isMachine ? "take" : "leave"),
      escrowKey: tpm.escrowKey ?? "/usr/share/sallyport/escrow.json",
    }),
    lockdown: Object.freeze({
      firewall: lockdown.firewall ?? (isMachine ? "nft" : "none"),
      console: lockdown.console,
      hubEndpoints: Object.freeze(lockdown.hubEndpoints.map(({ address, port }) => Object.freeze({ address, port }))),
    }),
  });
}
