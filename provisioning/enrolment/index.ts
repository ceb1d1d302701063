// Enrolment: from first power-on to a certificate.
export { type Enrolment, startEnrolment } from "./driver.ts";
export type { Enrolled, EnrolmentPorts, EnrolmentProgress } from "./ports.ts";
