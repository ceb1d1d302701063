// The head of the audit log: its size, and how much of it the hub has witnessed.
import * as v from "valibot";
import { countSchema } from "../../../hal/format/fields.ts";

/** How long the log is, and how much of it the hub has witnessed. */
export const auditHeadSchema = v.strictObject({
  size: countSchema,
  /** Size of the last checkpoint that the hub cosigned; 0 before the first. */
  witnessedSize: countSchema,
  /** Records dropped for want of space since the log began. */
  dropped: countSchema,
});
export type AuditHead = v.InferOutput<typeof auditHeadSchema>;
