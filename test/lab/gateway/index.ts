export type { Forward } from "./command.ts";
export type { CutReport, DiskEvent, Loss } from "./disk.ts";
export { type Gateway, type GatewayOptions, makeGateway } from "./gateway.ts";
export { lacks } from "./parts.ts";
export type { UsbDevice } from "./usb.ts";
