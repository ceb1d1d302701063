// Ways to a certificate, and hub time, which a first enrolment may need.
export { postToHub } from "./board.ts";
export type { EnrolAnswer, Enroller } from "./enroller.ts";
export { createEstEnroller } from "./est.ts";
export { askHubTime, type HubTimeExchange } from "./hub-time.ts";
