// What a TPM attests: the state of registers, and that a key lives in it. (Part 3, clause 18)
import { COMMAND, GENERATED, TAG } from "./constants.ts";
import { type PcrSelection, readPcrSelection, writePcrSelection } from "./pcr.ts";
import { type Authorization, NO_PASSWORD, type TpmEntity } from "./session.ts";
import { readSignature, type TpmSignature, writeScheme } from "./structures.ts";
import type { Tpm } from "./tpm.ts";
import { join, sized, WireReader } from "./wire.ts";

/** TPMS_ATTEST, of the kinds that this layer knows. (Part 2, table 132) */
export interface Attestation {
  readonly qualifiedSigner: Uint8Array;
  /** What the asker gave, against replays. */
  readonly extraData: Uint8Array;
  readonly clock: {
    readonly clockMs: bigint;
    readonly resets: number;
    readonly restarts: number;
    readonly isSafe: boolean;
  };
  readonly firmware: bigint;
  readonly attested:
    | { readonly kind: "quote"; readonly selections: readonly PcrSelection[]; readonly digest: Uint8Array }
    | { readonly kind: "certify"; readonly name: Uint8Array; readonly qualifiedName: Uint8Array };
}

/** An attestation as it was signed. */
export interface SignedAttestation {
  /** The bytes that the signature covers: {@link readAttestation} reads them. */
  readonly message: Uint8Array;
  readonly signature: TpmSignature;
}

/**
 * TPMS_ATTEST with TPMS_CLOCK_INFO, TPMS_QUOTE_INFO and TPMS_CERTIFY_INFO. (Part 2, tables 120,
 * 123, 124 and 132)
 * @throws Fault `tpm.protocol` for what is malformed, or of another kind.
 */
export function readAttestation(message: Uint8Array): Attestation {
  const reader = new WireReader(message, "an attestation");
  const magic = reader.u32();
  if (magic !== GENERATED) throw reader.wrong("no magic number of the TPM at its start");
  const tag = reader.u16();
  const [qualifiedSigner, extraData] = [reader.sized(), reader.sized()];
  const clock = { clockMs: reader.u64(), resets: reader.u32(), restarts: reader.u32(), isSafe: reader.u8() === 1 };
  const firmware = reader.u64();
  const attested = readAttested(reader, tag);
  reader.end();
  return { qualifiedSigner, extraData, clock, firmware, attested };
}

function readAttested(reader: WireReader, tag: number): Attestation["attested"] {
  if (tag === TAG.attestQuote) return { kind: "quote", selections: readPcrSelection(reader), digest: reader.sized() };
  if (tag === TAG.attestCertify) return { kind: "certify", name: reader.sized(), qualifiedName: reader.sized() };
  throw reader.wrong(`kind ${tag}; a quote or a certificate of a key was expected`);
}

function readSigned(reader: WireReader): SignedAttestation {
  return { message: reader.sized(), signature: readSignature(reader) };
}

/** TPM2_Quote: signs the values of registers, by the scheme of `key`. (Part 3, clause 18.4) */
export function quote(
  tpm: Tpm,
  key: TpmEntity,
  nonce: Uint8Array,
  selections: readonly PcrSelection[],
  auth = NO_PASSWORD,
): Promise<SignedAttestation> {
  const parameters = join(sized(nonce), writeScheme({ algorithm: "null" }), writePcrSelection(selections));
  return tpm.run(
    { name: "TPM2_Quote", code: COMMAND.quote, handles: [key], auths: [auth], parameters, sized: "both" },
    readSigned,
  );
}

/**
 * TPM2_Certify: `key` signs that `object` is in the same TPM. (Part 3, clause 18.2)
 * @param auths of `object` and of `key`.
 */
export function certify(
  tpm: Tpm,
  { object, key }: { readonly object: TpmEntity; readonly key: TpmEntity },
  nonce: Uint8Array,
  auths: readonly [Authorization, Authorization] = [NO_PASSWORD, NO_PASSWORD],
): Promise<SignedAttestation> {
  const parameters = join(sized(nonce), writeScheme({ algorithm: "null" }));
  return tpm.run(
    { name: "TPM2_Certify", code: COMMAND.certify, handles: [object, key], auths, parameters, sized: "both" },
    readSigned,
  );
}
