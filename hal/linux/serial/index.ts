// The serial port of a Linux machine.
export { linuxSerialPort } from "./port.ts";
export type { LineOptions } from "./line.ts";
