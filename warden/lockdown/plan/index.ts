// The planner: it decides and touches nothing. [LCK-2] [LCK-3] [LCK-4]
export { type Difference, differenceOf, staysOpen } from "../format/index.ts";
export { planLockdown } from "./planner.ts";
export { notKnownNow } from "./not-known.ts";
export { passes } from "./passes.ts";
export { risksOf } from "./risks.ts";
export { allowedIn, isOpening, judgeDevices, openedBeyond, type UsbStep, usbSteps } from "./usb.ts";
