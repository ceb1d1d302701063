export { type HttpRepository, httpRepository, type HttpRepositoryOptions } from "./client.ts";
