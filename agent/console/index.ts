// The serial console, for a technician at the cable. [CON-3]
export { type Console, type ConsoleOptions, startConsole } from "./console.ts";
export type { OrderPorts } from "./challenge.ts";
export type { Host } from "./screen.ts";
