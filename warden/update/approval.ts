// The approval of one release by an operator's order. It is durable, because fetching the release
// may take longer than the machine runs. [OTA-66]
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { APPROVAL_BYTES_MAX } from "./limits.ts";

const NAME = "approved.json";

const recordSchema = v.strictObject({
  v: v.literal(1),
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "expected 64 hex digits")),
});

/** An approval that this program may not read approves nothing, and the next one replaces it. */
const APPROVAL: RecordFormat<v.InferOutput<typeof recordSchema>> = {
  what: "the approval",
  version: 1,
  readable: 1,
  bytesMax: APPROVAL_BYTES_MAX,
  schema: recordSchema,
  code: "update.record-invalid",
  replaceable: true,
};

export interface Approval {
  /** Why the approval of the last start cannot be read; undefined once another is granted. */
  fault(): Fault | undefined;
  has(digest: string): boolean;
  /** Durable when it resolves. It replaces an earlier approval. */
  grant(digest: string): Promise<void>;
  /** Removes the approval: it was used. */
  spend(): Promise<void>;
}

/** A record that cannot be read approves nothing; its fault goes to `report`. */
export async function openApproval(files: DurableFiles, report: (fault: Fault) => void): Promise<Approval> {
  let unread: Fault | undefined;
  let approved = await read(files).catch((error: unknown) => {
    if (!(error instanceof Fault)) throw error;
    report(error);
    unread = error;
    return undefined;
  });
  return {
    fault: () => unread,
    has: (digest) => approved === digest,
    grant: async (digest) => {
      await writeRecord(files, NAME, APPROVAL, { v: 1, digest });
      approved = digest;
      unread = undefined;
    },
    spend: async () => {
      if (approved === undefined) return;
      await files.remove(NAME);
      approved = undefined;
    },
  };
}

async function read(files: DurableFiles): Promise<string | undefined> {
  return (await readRecord(files, NAME, APPROVAL))?.digest;
}
