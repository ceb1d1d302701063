// The one release that an operator has ordered: durable, because fetching it may take longer than the machine runs. [OTA-41]
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
  /** Durable when it resolves; the one before it is forgotten. */
  give(digest: string): Promise<void>;
  /** It was made use of. */
  spend(): Promise<void>;
}

/** What can't be read approves nothing, and is told to `report`. */
export async function openApproval(files: DurableFiles, report: (fault: Fault) => void): Promise<Approval> {
  let approved = await read(files).catch((error: unknown) => {
    if (!(error instanceof Fault)) throw error;
    report(error);
    return undefined;
  });
  return {
    has: (digest) => approved === digest,
    give: async (digest) => {
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
