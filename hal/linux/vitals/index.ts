export { linuxVitals } from "./vitals.ts";
