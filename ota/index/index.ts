export { release, releaseOwn, type RangeVerifier, verifyRangesHere, verifyRangesOn, rangeWork } from "./range.ts";
export { verifyChunk } from "./verify.ts";
