// The drivers of a Linux machine. Only main.ts files and tests import this. The serial port has a
// door of its own (serial/index.ts), because it brings a native add-on that only the agent carries.
export { linuxTpmChip } from "./chip/index.ts";
export { connectChild, startChild } from "./child/index.ts";
export { linuxClock, createSimulatedClock } from "./clock/index.ts";
export { createOptionalHandoverReader, linuxHandoverReader, linuxHandoverWriter } from "./handover/index.ts";
export { fatFiles, foreignFiles, linuxAppendFiles, linuxFiles, ownAppendFiles, ownFiles, readConfigFile } from "./files/index.ts";
export { linuxDeadManSwitch, linuxFirewall } from "./firewall/index.ts";
export { type HardwareOptions, linuxHardware } from "./identity/index.ts";
export {
  type ChosenStore,
  chooseKeyStore,
  createFileKeyStore,
  createSealedKeyStore,
  createTpmKeyStore,
  type KeyStores,
  linuxChipReader,
  type WantedStore,
} from "./keys/index.ts";
export { lockState } from "./lock.ts";
export { linuxNetwork } from "./network/index.ts";
export { linuxPower } from "./power.ts";
export { runProgram } from "./process/index.ts";
export { journal, reasonOf, requiredConfigFile, runMain } from "./program.ts";
export { listenUnix } from "./socket.ts";
export {
  createFileBootChoice,
  createFileSlots,
  type FileSlotsOptions,
  createPartitionSlots,
  createSystemdBootChoice,
} from "./slots/index.ts";
export {
  activateTpmProvider,
  isStartedWith,
  isTpmProviderActive,
  restartWith,
  systemTpmProvider,
  type TpmProvider,
} from "./tpm-provider/index.ts";
export { linuxBootEnd } from "./boot-end.ts";
export { linuxUptime } from "./uptime.ts";
export { linuxUsbEvents, linuxUsbTree } from "./usb/index.ts";
export { linuxVitals } from "./vitals.ts";
export { linuxWatchdog } from "./watchdog.ts";
