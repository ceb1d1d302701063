// The audit log: the warden's own, append-only, with a tree over it. What a reader needs is in format/.
export { type AuditCheckpoint, type AuditLog, type AuditOptions, openAuditLog } from "./log.ts";
export type { AuditLimits } from "./limits.ts";
