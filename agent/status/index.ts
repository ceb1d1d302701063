// The device status, and the texts that show it and its details to people.
export { renderTail } from "./audit-text.ts";
export { renderChallenge } from "./challenge-text.ts";
export { type CertificateFacts, composeDeviceStatus, type DeviceStatusInputs, type ReadResult } from "./compose.ts";
export { identityViewOf, isIdentitySound, renderIdentity } from "./identity-text.ts";
export { keyWords } from "./key-text.ts";
export { renderLockdown, renderPreview } from "./lockdown-text.ts";
export { renderStatus } from "./render.ts";
export { renderResetPlan, WIPING } from "./reset-text.ts";
export { SCREEN_COLUMNS_MAX } from "./rows.ts";
export { serialJson, serialText, wrapText } from "./serial-text.ts";
export { renderUpdate } from "./update-text.ts";
export { renderUpgrade } from "./upgrade-text.ts";
export { counted } from "./units.ts";
