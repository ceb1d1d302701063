// The list of revoked certificates, for brokers that are not this hub's. [ID-90]
export { createCrlKeeper, type CrlKeeper } from "./list.ts";
