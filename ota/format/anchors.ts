// The hub's address and trust anchors: the payload of the `hub/` target, whose version 1 is in the
// image. [TUN-2] [ID-10]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { type HostAndPort, hostAndPort } from "../../hal/format/host.ts";
import { PINS_CHARACTERS_MAX, readPins } from "../../hal/format/pins.ts";

/** A C2SP note verifier key: `name+8 hex digits+base64`. */
export const verifierKeySchema = v.pipe(
  v.string(),
  v.maxLength(256),
  v.regex(/^[^\s+]{1,128}\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/, "expected a C2SP verifier key: name+hash+base64"),
);

/** Groups of digits that URLs take in brackets; a zone is none. */
function isIpv6(host: string): boolean {
  return /^[0-9A-Fa-f:.]+$/u.test(host) && URL.canParse(`http://[${host}]`);
}

/**
 * A DNS name or an address, which the certificate of the server must name. An IPv6 address is
 * written without brackets and zone, and read into its one spelling (RFC 5952).
 */
export const hostSchema = v.pipe(
  v.string(),
  v.maxLength(253),
  v.check(
    (host) => /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/u.test(host) || isIpv6(host),
    "expected a host name, an IPv4 address, or an IPv6 address without brackets and zone",
  ),
  v.transform((host) => (host.includes(":") ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host)),
);

export const portSchema = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));

/** The one reader reads it here already, so a wrong file is refused with its reason. [ID-80] */
const pinsSchema = v.pipe(
  v.string(),
  v.maxLength(PINS_CHARACTERS_MAX),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed || dataset.value.length > PINS_CHARACTERS_MAX) return;
    try {
      readPins(dataset.value);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      addIssue({ message: error.message });
    }
  }),
);

/** Where a service is, as far as it is not where the hub is. */
const placeSchema = v.strictObject({
  host: v.optional(hostSchema),
  port: v.optional(portSchema),
  /** The pins of this service alone. */
  authority: v.optional(pinsSchema),
});

const repositorySchema = v.strictObject({
  ...placeSchema.entries,
  /** In front of every path; empty for the root of a web server. */
  path: v.optional(
    v.pipe(
      v.string(),
      v.maxLength(255),
      v.regex(/^(?:\/[A-Za-z0-9._~-]+)*$/u, "expected a path such as /repository, or nothing"),
    ),
  ),
});

export const hubAnchorsSchema = v.strictObject({
  v: v.literal(1),
  /** The tenant's name for the hub, for people and messages. */
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  /** The server name, which is always checked in the hub's certificate. */
  host: hostSchema,
  estPort: portSchema,
  mqttPort: portSchema,
  /**
   * PEM of one to eight authorities, in any order: the pins. Each counts by itself. The system's
   * trust store does not count.
   */
  authority: pinsSchema,
  /** [TUN-61] Services that are elsewhere. What a place leaves out is the hub's own. */
  services: v.optional(
    v.strictObject({
      est: v.optional(placeSchema),
      broker: v.optional(placeSchema),
      repository: v.optional(repositorySchema),
      time: v.optional(placeSchema),
    }),
  ),
  /** Verifies hub time [ID-10]. `null`: this hub has no such service [TUN-62]. */
  timeKey: v.nullable(verifierKeySchema),
  /** Verifies cosignatures of audit checkpoints [AUD-8]. `null`: it has no witness [TUN-62]. */
  witnessKey: v.nullable(verifierKeySchema),
});
export type HubAnchors = v.InferOutput<typeof hubAnchorsSchema>;

export interface HubPlace {
  readonly host: string;
  readonly port: number;
  /** PEM of the pins. [ID-80] */
  readonly authority: string;
}

export interface HubServices {
  readonly est: HubPlace;
  readonly broker: HubPlace;
  readonly repository: HubPlace & { readonly path: string };
  /** Undefined where the hub has none. */
  readonly time: HubPlace | undefined;
}

/** Path of the repository of our hub, on the port of its EST service. [OTA-37] */
const REPOSITORY_PATH = "/repository";

/** The one reading of where the services of a hub are. [TUN-61] */
export function hubServices({ host, estPort, mqttPort, authority, services = {}, timeKey }: HubAnchors): HubServices {
  const est = { host, port: estPort, authority };
  const { repository } = services;
  return {
    est: placeOf(services.est, est),
    broker: placeOf(services.broker, { host, port: mqttPort, authority }),
    repository: { ...placeOf(repository, est), path: repository?.path ?? REPOSITORY_PATH },
    time: timeKey === null ? undefined : placeOf(services.time, est),
  };
}

export type HubAddresses = Pick<HubAnchors, "host" | "estPort" | "mqttPort"> & Partial<Pick<HubAnchors, "services">>;

/** Every host and port of the hub, each once. No policy may cut them [LCK-3]. */
export function hubAddresses({ host, estPort, mqttPort, services = {} }: HubAddresses): readonly HostAndPort[] {
  const given = [services.est, services.broker, services.repository, services.time];
  const all = [
    { host, port: estPort },
    { host, port: mqttPort },
    ...given.map((place, index) => ({ host: place?.host ?? host, port: place?.port ?? (index === 1 ? mqttPort : estPort) })),
  ];
  return [...new Map(all.map((one) => [hostAndPort(one), one])).values()];
}

function placeOf(given: v.InferOutput<typeof placeSchema> = {}, otherwise: HubPlace): HubPlace {
  const { host = otherwise.host, port = otherwise.port, authority = otherwise.authority } = given;
  return { host, port, authority };
}

/** Eight pins, and eight more for services of their own; line ends are two bytes in JSON. */
export const HUB_ANCHORS_BYTES_MAX = 131_072;
