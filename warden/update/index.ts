// The warden's part in updates. [OTA-41] [OTA-43]
export type {
  CheckName,
  CheckResult,
  HealthPorts,
  OrderExecutor,
  UpdatePorts,
  Updates,
  UpdateSettings,
  VerifiedOrder,
} from "./ports.ts";
export { createReboot } from "./reboot.ts";
export { startUpdates } from "./updates.ts";
