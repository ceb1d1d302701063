// The network of a Linux machine, as far as it must not be cut off.
export { linuxNetwork, type NetworkOptions } from "./network.ts";
