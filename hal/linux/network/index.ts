// The network of a Linux machine, as far as a lockdown must know it to keep it usable.
export { linuxNetwork, type NetworkOptions } from "./network.ts";
