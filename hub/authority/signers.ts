// The hub's two note keys: one signs time [ID-10], one cosigns audit checkpoints [AUD-8]. They are
// separate, so that neither signature can be used as the other.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { ed25519Raw, encodeVerifier, type NoteKeyKind, type Verifier, verifierOf } from "../../warden/audit/format/index.ts";

export interface NoteSigner {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

export function makeNoteKey(): string {
  return generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });
}

export function createTimeSigner(host: string, keyPem: string): NoteSigner {
  return signer(`${host}/sallyport-time`, "ed25519", keyPem);
}

export function createWitnessSigner(host: string, keyPem: string): NoteSigner {
  return signer(`${host}/sallyport-witness`, "cosignature/v1", keyPem);
}

export function verifierKey({ verifier }: NoteSigner): string {
  return encodeVerifier(verifier);
}

function signer(name: string, kind: NoteKeyKind, keyPem: string): NoteSigner {
  const privateKey = createPrivateKey(keyPem);
  return { privateKey, verifier: verifierOf(name, kind, ed25519Raw(createPublicKey(privateKey))) };
}
