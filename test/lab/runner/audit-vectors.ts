// The test vectors of the audit formats, parsed strictly: a missing vector must not pass as an
// empty loop.
import * as v from "valibot";
import { check } from "../../../hal/format/schema.ts";

const hex = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})*$/));
const some = <const S extends v.GenericSchema>(item: S) => v.pipe(v.array(item), v.minLength(1));

const treeSchema = v.strictObject({
  source: v.string(),
  leaves: some(hex),
  empty: hex,
  roots: some(hex),
  consistency: some(v.strictObject({ from: v.number(), to: v.number(), proof: v.array(hex) })),
});

const noteSchema = v.strictObject({
  source: v.string(),
  verified: v.strictObject({ verifier: v.string(), text: v.string(), note: v.string() }),
  checkpoint: v.strictObject({
    note: v.string(),
    origin: v.string(),
    size: v.number(),
    root: v.string(),
    cosignedAtUnixS: v.number(),
  }),
});

const sallyportSchema = v.strictObject({
  source: v.string(),
  auditKey: v.string(),
  auditKeyPem: v.string(),
  witness: v.string(),
  witnessPem: v.string(),
  records: some(v.string()),
  root: v.string(),
  text: v.string(),
  cosignedAtUnixS: v.number(),
  note: v.string(),
});

export function treeVectors(text: string): v.InferOutput<typeof treeSchema> {
  return check(treeSchema, JSON.parse(text), "tree vectors");
}

export function noteVectors(text: string): v.InferOutput<typeof noteSchema> {
  return check(noteSchema, JSON.parse(text), "note vectors");
}

export function checkpointVectors(text: string): v.InferOutput<typeof sallyportSchema> {
  return check(sallyportSchema, JSON.parse(text), "checkpoint vectors");
}
