// The warden's side of the protocol: table of verbs, sessions. The wire itself is in format.ts. [OPS-1] [OPS-2]
export type { VerbHandlers } from "./dispatch.ts";
export { type Allowance, appendAllowance } from "./allowance.ts";
export { ANSWER_ENVELOPE_BYTES } from "./limits.ts";
export { refusals } from "./refusals.ts";
export { openProtocolSession, type ProtocolSession } from "./session.ts";
