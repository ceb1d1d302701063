// The agent's side of the audit trail: a buffer of its own entries for the warden, and the uploader
// of the warden's records to the hub.
export { type AuditBuffer, createAuditBuffer } from "./buffer.ts";
export { type AuditUploader, type AuditUploaderPorts, createAuditUploader } from "./uploader.ts";
