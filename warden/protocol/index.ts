// The warden's side of the protocol: table of verbs, sessions. The wire itself is in format.ts. [OPS-1] [OPS-2]
export { tokenBucket, type Bucket } from "./bucket.ts";
export { decodeRequest, encodeFault, encodeResult } from "./codec.ts";
export { dispatch, type Handlers } from "./dispatch.ts";
export { ANSWER_ENVELOPE_BYTES } from "./limits.ts";
export { refusals, type Refusals } from "./refusals.ts";
export { openSession, type Session, type SessionOptions } from "./session.ts";
