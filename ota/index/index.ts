export { release, releaseOwn, type StretchVerifier, stretchesHere, stretchesOn, stretchWork } from "./stretch.ts";
export { verifyChunk } from "./verify.ts";
