export { linuxClock } from "./linux.ts";
export { simulatedClock } from "./simulated.ts";
