// The hub's address and trust anchors: the payload of the `hub/` target, whose version 1 is in the
// image. [TUN-2] [ID-10]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { PINS_CHARACTERS_MAX, readPins } from "../../hal/format/pins.ts";

/** A C2SP note verifier key: `name+8 hex digits+base64`. */
export const verifierKeySchema = v.pipe(
  v.string(),
  v.maxLength(256),
  v.regex(/^[^\s+]{1,128}\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/, "expected a C2SP verifier key: name+hash+base64"),
);

/** A DNS name or an IPv4 address, which the hub's certificate must name. */
export const hostSchema = v.pipe(
  v.string(),
  v.maxLength(253),
  v.regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, "expected a host name or an IPv4 address"),
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
  /** Verifies hub time. [ID-10] */
  timeKey: verifierKeySchema,
  /** Verifies cosignatures of audit checkpoints. [AUD-8] */
  witnessKey: verifierKeySchema,
});
export type HubAnchors = v.InferOutput<typeof hubAnchorsSchema>;

/** Line ends are two bytes in JSON. */
export const HUB_ANCHORS_BYTES_MAX = 65_536;
