export { type Courier, type CourierPorts, createCourier } from "./courier.ts";
