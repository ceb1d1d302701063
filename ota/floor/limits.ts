// Bounds of the floors.

/** Lines of releases on one device. There is a handful; more means a defect. */
export const FLOOR_LINES_MAX = 32;
export const FLOORS_BYTES_MAX = 8192;
export const COUNTER_MAX = 4_294_967_295;
