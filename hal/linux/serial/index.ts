// The serial port of a Linux machine.
export { linuxSerialPort } from "./port.ts";
export type { SerialLineOptions } from "./line.ts";
