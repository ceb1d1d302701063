// The approval of one release by an operator's order. It is durable, because fetching the release
// may take longer than the machine runs. [OTA-66]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson, parseCanonicalJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { APPROVAL_BYTES_MAX } from "./limits.ts";

const NAME = "approved.json";

const recordSchema = v.strictObject({
  v: v.literal(1),
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits")),
});

export interface Approval {
  has(digest: string): boolean;
  /** Durable when it resolves. It replaces an earlier approval. */
  grant(digest: string): Promise<void>;
  /** Removes the approval: it was used. */
  spend(): Promise<void>;
}

/** A record that cannot be read approves nothing; its fault goes to `report`. */
export async function openApproval(files: DurableFiles, report: (fault: Fault) => void): Promise<Approval> {
  let approved = await read(files).catch((error: unknown) => {
    if (!(error instanceof Fault)) throw error;
    report(error);
    return undefined;
  });
  return {
    has: (digest) => approved === digest,
    grant: async (digest) => {
      await files.put(NAME, Buffer.from(canonicalJson({ v: 1, digest })));
      approved = digest;
    },
    spend: async () => {
      if (approved === undefined) return;
      await files.remove(NAME);
      approved = undefined;
    },
  };
}

async function read(files: DurableFiles): Promise<string | undefined> {
  const bytes = await files.get(NAME, APPROVAL_BYTES_MAX);
  if (bytes === undefined) return undefined;
  return check(recordSchema, parseCanonicalJson(bytes, APPROVAL_BYTES_MAX, "approval"), "approval", "update.record-invalid")
    .digest;
}
