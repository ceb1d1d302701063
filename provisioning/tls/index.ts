// TLS to the hub, for enrolment, hub time and the tunnel: the pinned authority, the way through a
// proxy, and the verdict on the hub's certificate.
export { type ClientCredential, type Endpoint, type HubServer } from "./endpoint.ts";
export { certificateVerdict, errorCode, tlsWords } from "./faults.ts";
export { checkAllButDates, checkByPinItself, isOfAnotherPin } from "./own-check.ts";
export { openStrictTls, openTls, secureContextFor } from "./open.ts";
export { connectThroughProxy } from "./proxy.ts";
