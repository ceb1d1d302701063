// Enrolment: from first power-on to a certificate.
export { type Enrolment, startEnrolment } from "./driver.ts";
export { loadRequest, storeRequest } from "./record.ts";
export type { Enrolled, EnrolmentPorts, EnrolmentProgress } from "./ports.ts";
