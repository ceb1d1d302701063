// The audit log: the warden's own, append-only, with a tree over it. What a reader needs is in format/.
export { type AuditLog, openAuditLog } from "./log.ts";
export type { AuditLimits } from "./limits.ts";
export { type AuditRecorder, createRateLimitedRecorder, withSuppressed } from "./rate-limited-recorder.ts";
