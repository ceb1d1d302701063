// The audit log of the warden: append-only, with a Merkle tree over its records. What a reader
// needs is in format/.
export { type AuditLog, openAuditLog } from "./log.ts";
export type { AuditLimits } from "./limits.ts";
export { type AuditRecorder, createRateLimitedRecorder, withSuppressed } from "./rate-limited-recorder.ts";
