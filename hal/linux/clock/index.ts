export { linuxClock } from "./linux.ts";
export { createSimulatedClock } from "./simulated.ts";
