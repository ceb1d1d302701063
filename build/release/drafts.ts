// Metadata while it is edited. Unknown members are preserved, as TUF section 4 demands.
import * as v from "valibot";
import { check } from "../../hal/format/schema.ts";
import { parseJson } from "../../hal/format/json.ts";
import { canonicalBytes, signatureOf } from "../../ota/trust/format/index.ts";
import type { Envelope, Signature } from "../../ota/trust/format/metadata.ts";
import type { ReleaseSigner } from "./keys.ts";
import { METADATA_BYTES_MAX } from "./limits.ts";

const common = { version: v.number(), expires: v.string(), signedAt: v.optional(v.string()) };
const role = v.looseObject({ keyids: v.array(v.string()), threshold: v.number() });

export const rootDraft = v.looseObject({
  _type: v.literal("root"),
  ...common,
  roles: v.looseObject({ root: role, timestamp: role, snapshot: role, targets: role }),
});
export type RootDraft = v.InferOutput<typeof rootDraft>;
export const metaDraft = v.looseObject({
  _type: v.picklist(["snapshot", "timestamp"]),
  ...common,
  meta: v.record(v.string(), v.looseObject({ version: v.number() })),
});
export type MetaDraft = v.InferOutput<typeof metaDraft>;

export const targetEntry = v.looseObject({
  length: v.number(),
  hashes: v.looseObject({ sha256: v.string() }),
  custom: v.optional(v.looseObject({ line: v.optional(v.string()), counter: v.optional(v.number()) })),
});
export const entriesSchema = v.record(v.string(), targetEntry);
export type Entries = v.InferOutput<typeof entriesSchema>;

export const targetsDraft = v.looseObject({
  _type: v.literal("targets"),
  ...common,
  targets: entriesSchema,
  delegations: v.optional(
    v.looseObject({
      keys: v.record(v.string(), v.unknown()),
      roles: v.array(v.looseObject({ ...role.entries, name: v.string() })),
    }),
  ),
});
export type TargetsDraft = v.InferOutput<typeof targetsDraft>;

const envelope = v.object({ signed: v.unknown() });

/** The signed part of a file. @throws Fault `trust.invalid`. */
export function draftOf<const S extends v.GenericSchema>(schema: S, bytes: Uint8Array, what: string): v.InferOutput<S> {
  return check(
    schema,
    check(envelope, parseJson(bytes, METADATA_BYTES_MAX, what), what, "trust.invalid").signed,
    what,
    "trust.invalid",
  );
}

/** @returns the metadata file of `draft`, signed by `signers`. */
export function signed(draft: unknown, signers: readonly ReleaseSigner[]): Uint8Array {
  return envelopeBytes({ signed: draft, signatures: signaturesOf(draft, signers) });
}

export function signaturesOf(draft: unknown, signers: readonly ReleaseSigner[]): readonly Signature[] {
  if (signers.length === 0) return [];
  const message = canonicalBytes(draft);
  return signers.map(({ id, privateKey }) => ({ keyid: id, sig: signatureOf(message, privateKey) }));
}

export function envelopeBytes({ signed: draft, signatures }: Envelope): Uint8Array {
  return Buffer.from(`${JSON.stringify({ signatures, signed: draft }, undefined, 1)}\n`);
}
