export { freeMemory, freeIfOwned, type RangeVerifier, verifyRangesHere, verifyRangesOn, rangeWork } from "./range.ts";
export { verifyChunk } from "./verify.ts";
