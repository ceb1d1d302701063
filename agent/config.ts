// The agent's configuration: one JSON file with safe defaults. Every fault is reported at once, and
// unknown keys are refused.
import * as v from "valibot";
import { parseConfigFile } from "../hal/format/config.ts";
import { PROTECTIONS } from "../hal/format/identity.ts";
import { type HubAnchors, hostSchema, HUB_ANCHORS_BYTES_MAX, hubAnchorsSchema, portSchema } from "../ota/format/anchors.ts";

export const CONFIG_BYTES_MAX = 65_536;
const MEBIBYTE = 1_048_576;
const DAY_S = 86_400;

const absolutePath = v.pipe(v.string(), v.maxLength(255), v.regex(/^\/[^\0]*$/u, "expected an absolute path"));
const seconds = (min: number, max: number) => v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));
/** A persistent handle of owner or platform. (TPM 2.0 Part 2, table 29) */
const handleSchema = v.pipe(
  v.string(),
  v.regex(/^0x81[0-9a-fA-F]{6}$/u, "expected auto, owner, endorsement or a persistent handle such as 0x81000001"),
  v.transform(Number),
);
const parentSchema = v.union(
  [v.picklist(["auto", "owner", "endorsement"]), handleSchema],
  "expected auto, owner, endorsement or a persistent handle such as 0x81000001",
);
const endpoint = v.strictObject({ host: hostSchema, port: portSchema });

export const agentConfigSchema = v.strictObject({
  /** Owned by the agent's user, mode 0700. */
  stateDirectory: v.optional(absolutePath, "/var/lib/sallyport"),
  wardenSocket: v.optional(absolutePath, "/run/sallyport/warden.sock"),
  /**
   * For the `sallyport` command. Its directory must be closed to everybody but root and the agent.
   */
  localSocket: v.optional(absolutePath, "/run/sallyport-agent/root.sock"),
  /** The hub's address and trust anchors; version 1 is in the image. */
  anchors: v.optional(absolutePath, "/usr/share/sallyport/hub.json"),
  /** TUF root of the image. Without it nothing new is taken up, and the status says so. [OTA-23] */
  trustRoot: v.optional(absolutePath, "/usr/share/sallyport/root.json"),
  /**
   * Directory in which files are left for the warden, which has the same setting. Default:
   * `handover` in the state directory. [OTA-32]
   */
  handover: v.optional(absolutePath),
  /** The serial console. Default: none. */
  console: v.optional(
    v.strictObject({
      path: absolutePath,
      baudRate: v.optional(v.picklist([9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600]), 115_200),
    }),
  ),
  key: v.optional(
    v.strictObject({
      /**
       * `auto`: the strongest that can be used when the key is made. Another one: that or none. An
       * existing key stays where it is. [ID-49]
       */
      protection: v.optional(v.picklist(["auto", ...PROTECTIONS]), "auto"),
      tpm: v.optional(
        v.strictObject({
          /** As tpm2-tss names it: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`. */
          tcti: v.optional(
            v.pipe(v.string(), v.maxLength(255), v.regex(/^[\x21-\x7e]+$/u, "expected a TCTI such as device:/dev/tpmrm0")),
            "device:/dev/tpmrm0",
          ),
          /** The storage key that a new key is made under. [ID-45] */
          parent: v.optional(parentSchema, "auto"),
          /** Refused: Node's TLS takes a key as PEM, and no PEM names a key inside the TPM. */
          handle: v.optional(
            v.never("TLS cannot use a key that is kept in the TPM already; leave handle out, and name its storage key as parent"),
          ),
          /** OpenSSL's provider module, if it is not in OpenSSL's own module directory. */
          module: v.optional(absolutePath),
          libraryPath: v.optional(absolutePath),
        }),
        {},
      ),
    }),
    {},
  ),
  /** Private enterprise number: adds `urn:dev:ops:` to the certificate request (RFC 9039). */
  enterpriseNumber: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4_294_967_295))),
  tunnel: v.optional(
    v.strictObject({
      /**
       * Address to connect to instead of the anchors' host and port. The certificate must still
       * carry the anchors' name.
       */
      connectTo: v.optional(endpoint),
      /** Distinguishes the tunnel from other services on a shared port 443 (RFC 7301). */
      alpn: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
      /** HTTP CONNECT proxy. TLS stays end to end. */
      proxy: v.optional(endpoint),
      minTls: v.optional(v.picklist(["TLSv1.2", "TLSv1.3"]), "TLSv1.3"),
      keepaliveS: v.optional(seconds(10, 1200), 60),
      /** The broker keeps what it has for a device that is away for so long. [TUN-64] */
      sessionExpiryS: v.optional(seconds(0, 30 * DAY_S), 0),
    }),
    {},
  ),
  enrolment: v.optional(
    v.strictObject({
      connectTo: v.optional(endpoint),
      /** The label of the EST service, where an authority tells several apart (RFC 7030, 3.2.2). */
      label: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9._~-]{1,64}$/u, "expected 1 to 64 letters, digits and . _ ~ -"))),
    }),
    {},
  ),
  /**
   * Address to fetch releases from instead of the enrolment's. The certificate must still carry the
   * anchors' name. [OTA-37]
   */
  repository: v.optional(v.strictObject({ connectTo: v.optional(endpoint) }), {}),
  spool: v.optional(
    v.strictObject({
      bytesMax: v.optional(v.pipe(v.number(), v.integer(), v.minValue(65_536), v.maxValue(1024 * MEBIBYTE)), 16 * MEBIBYTE),
      ageMaxS: v.optional(seconds(60, 3650 * DAY_S), 30 * DAY_S),
    }),
    {},
  ),
});
export type AgentConfig = v.InferOutput<typeof agentConfigSchema>;

/**
 * @param file the name of the file, for the message.
 * @throws Fault `config.invalid` naming every fault.
 */
export function parseAgentConfig(bytes: Uint8Array | string, file: string): AgentConfig {
  return parseConfigFile(agentConfigSchema, bytes, CONFIG_BYTES_MAX, `configuration "${file}"`);
}

/**
 * @param file the name of the file, for the message.
 * @throws Fault `config.invalid` naming every fault.
 */
export function parseAnchors(bytes: Uint8Array | string, file: string): HubAnchors {
  return parseConfigFile(hubAnchorsSchema, bytes, HUB_ANCHORS_BYTES_MAX, `hub anchors "${file}"`);
}
