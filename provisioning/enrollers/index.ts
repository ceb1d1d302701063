// Ways to a certificate, and hub time, which first ways may need. The network side of provisioning; what the tunnel needs of it too.
export type { ClientCredential, EnrolAnswer, Enroller } from "./enroller.ts";
export { createEstEnroller } from "./est.ts";
export { askHubTime, type HubTimeQuestion } from "./hub-time.ts";
export type { Endpoint, HubServer } from "./hub.ts";
export { connectThroughProxy } from "./proxy.ts";
export { certificateVerdict, errorCode } from "./tls-faults.ts";
