// The hub's keys as the image gives them: what the warden trusts about time and witness. [ID-10]
// [AUD-8]
import { Fault } from "../hal/fault.ts";
import { parseConfigFile } from "../hal/format/config.ts";
import { type HubAddresses, HUB_ANCHORS_BYTES_MAX, hubAnchorsSchema } from "../ota/format/anchors.ts";
import { decodeVerifier, type NoteKeyKind, type Verifier } from "./audit/format/index.ts";

export interface HubKeys {
  /** The address of the hub, which every policy leaves reachable. [LCK-3] */
  readonly place: HubAddresses;
  /** Undefined where the hub has no time service. [TUN-62] */
  readonly time: Verifier | undefined;
  /** Undefined where it has no witness. */
  readonly witness: Verifier | undefined;
}

/**
 * @throws Fault `config.invalid` for anchors that are incomplete or wrong: none of their keys is
 *   used then.
 */
export function parseHubKeys(bytes: Uint8Array, file: string): HubKeys {
  const anchors = parseConfigFile(hubAnchorsSchema, bytes, HUB_ANCHORS_BYTES_MAX, `hub anchors "${file}"`);
  try {
    return { place: anchors, time: keyOf(anchors.timeKey, "ed25519"), witness: keyOf(anchors.witnessKey, "cosignature/v1") };
  } catch (error) {
    if (error instanceof Fault) throw new Fault("config.invalid", `hub anchors "${file}": ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The kind is part of what is trusted: a key that signs times cannot witness a log, and the
 * reverse.
 */
function keyOf(text: string | null, kind: NoteKeyKind): Verifier | undefined {
  if (text === null) return undefined;
  const verifier = decodeVerifier(text);
  if (verifier.kind !== kind)
    throw new Fault("note.invalid", `key "${verifier.name}" is of kind ${verifier.kind}, expected ${kind}`);
  return verifier;
}
