// The durable store of messages to the hub. [TUN-6]
export { SPOOL_LIMITS_DEFAULT, type SpoolLimits } from "./limits.ts";
export { type Drop, openSpool, type Spool, SPOOL_CLASSES, type SpoolClass, type Spooled, type SpoolOptions } from "./spool.ts";
