export { linuxCourier } from "./courier.ts";
export { linuxCourierDrop } from "./drop.ts";
