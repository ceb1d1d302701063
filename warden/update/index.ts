// What of updates the warden does itself. [OTA-41] [OTA-43]
export type { CheckName, CheckResult, HealthPorts, UpdatePorts, UpdateSettings } from "./ports.ts";
export { type Ordered, startUpdates, type Updates } from "./updates.ts";
