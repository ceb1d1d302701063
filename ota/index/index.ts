export { verifyChunk } from "./verify.ts";
