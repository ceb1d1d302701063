// The serial console: what a technician at the cable can see and ask. [CON-3]
export { type Console, type ConsoleParts, startConsole } from "./console.ts";
export type { Orders } from "./ordering.ts";
export type { Host } from "./screen.ts";
