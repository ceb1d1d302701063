// Ways to a certificate, and hub time, which first ways may need. The network side of provisioning.
export type { ClientCredential, EnrolAnswer, Enroller } from "./enroller.ts";
export { createEstEnroller } from "./est.ts";
export { askHubTime, type HubTimeQuestion } from "./hub-time.ts";
export type { Hub } from "./hub.ts";
