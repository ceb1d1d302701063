export { linuxPower } from "./power.ts";
export { linuxUptime } from "./uptime.ts";
