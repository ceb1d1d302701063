export { type HardwareOptions, linuxHardware } from "./hardware.ts";
