// How often something may happen.
export { type Bucket, tokenBucket } from "./bucket.ts";
export { paced, pacedLines } from "./paced.ts";
