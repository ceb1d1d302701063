export { createRepositoryByPins } from "./by-pins.ts";
export { type HttpRepository, createHttpRepository, type HttpRepositoryOptions } from "./client.ts";
