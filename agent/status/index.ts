// The one snapshot of the device, and how it reads.
export { type CertificateFacts, composeSnapshot, type SnapshotParts, type Told } from "./compose.ts";
export { renderStatus } from "./render.ts";
export { plainJson, plainText } from "./text.ts";
export { counted } from "./words.ts";
