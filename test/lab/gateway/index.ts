export type { Forward } from "./command.ts";
export type { CutReport, DiskEvent, Loss } from "./disk.ts";
export { type Gateway, type GatewayOptions, ID, openGateway } from "./gateway.ts";
export type { UsbDevice } from "./usb.ts";
export { ensureGoldenImage, type GoldenImage, RELEASES, STUCK } from "./golden-image.ts";
export { openSite, type Site, type SiteOptions } from "./site.ts";
