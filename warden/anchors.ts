// The hub's keys as the image gives them: whom to believe about time and witness. [ID-10] [AUD-8]
import { Fault } from "../hal/fault.ts";
import { parseConfigFile } from "../hal/format/config.ts";
import { type HubAnchors, HUB_ANCHORS_BYTES_MAX, hubAnchorsSchema } from "../ota/format/anchors.ts";
import { decodeVerifier, type NoteKeyKind, type Verifier } from "./audit/format/index.ts";

export interface HubKeys {
  /** Where the hub is: that stays reachable whatever is shut. [LCK-3] */
  readonly place: Pick<HubAnchors, "host" | "estPort" | "mqttPort">;
  readonly time: Verifier;
  readonly witness: Verifier;
}

/** @throws Fault `config.invalid` for anchors that are not whole: then no key of them counts. */
export function parseHubKeys(bytes: Uint8Array, file: string): HubKeys {
  const anchors = parseConfigFile(hubAnchorsSchema, bytes, HUB_ANCHORS_BYTES_MAX, `hub anchors "${file}"`);
  try {
    return { place: anchors, time: keyOf(anchors.timeKey, "ed25519"), witness: keyOf(anchors.witnessKey, "cosignature/v1") };
  } catch (error) {
    if (error instanceof Fault) throw new Fault("config.invalid", `hub anchors "${file}": ${error.message}`, { cause: error });
    throw error;
  }
}

/** The kind is part of what is trusted: a key that signs times can't be made to witness a log, nor the other way. */
function keyOf(text: string, kind: NoteKeyKind): Verifier {
  const verifier = decodeVerifier(text);
  if (verifier.kind !== kind)
    throw new Fault("note.invalid", `key "${verifier.name}" is of kind ${verifier.kind}, expected ${kind}`);
  return verifier;
}
