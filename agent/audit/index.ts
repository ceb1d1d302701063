// The audit trail on the agent's side: entries of its own waiting for the warden, and records uploaded to the hub.
export { type AuditBuffer, createAuditBuffer } from "./buffer.ts";
export { type AuditUploader, type AuditUploaderPorts, createAuditUploader } from "./uploader.ts";
