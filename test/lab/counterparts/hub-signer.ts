// The hub's keys in a test's hands: they sign times as the hub does, or wrongly.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import * as v from "valibot";
import { type HubTimeResponse, hubTimeResponseSchema, hubTimeSignedText } from "../../../ota/format/time.ts";
import { ed25519Raw, encodeVerifier, type NoteKeyKind, type Verifier, verifierOf } from "../../../warden/audit/format/index.ts";
import { NEVER_ASKED } from "./pki.ts";

export interface Signer {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

export function makeSigner(name: string, kind: NoteKeyKind): Signer {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { privateKey, verifier: verifierOf(name, kind, ed25519Raw(publicKey)) };
}

/** @param time Unix milliseconds, or the text to sign unchanged. */
export function hubTime(signer: Signer, deviceId: string, nonce: string, time: number | string): HubTimeResponse {
  const said = { deviceId, nonce, time: typeof time === "string" ? time : new Date(time).toISOString() };
  const parsed = v.parse(v.omit(hubTimeResponseSchema, ["signature"]), said);
  const signature = sign(null, Buffer.from(hubTimeSignedText(parsed)), signer.privateKey).toString("base64");
  return { ...parsed, signature };
}

/**
 * The anchors file of an image for a hub with these keys. Its authority is a text that nothing here
 * parses.
 */
export function anchorsFile(time: Signer, witness: Signer): string {
  return JSON.stringify({
    v: 1,
    name: "Lab hub",
    host: "hub.example",
    estPort: 8443,
    mqttPort: 8883,
    authority: NEVER_ASKED,
    timeKey: encodeVerifier(time.verifier),
    witnessKey: encodeVerifier(witness.verifier),
  });
}
