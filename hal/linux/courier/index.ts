export { linuxCourier } from "./courier.ts";
export { linuxCourierDrop } from "./drop.ts";
export { lateCourier } from "./late.ts";
