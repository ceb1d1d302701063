export { createReporter, type Reporter } from "./reporter.ts";
