export { type HttpRepository, createHttpRepository, type HttpRepositoryOptions } from "./client.ts";
