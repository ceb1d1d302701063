// The warden's side of the protocol: handlers, limiters and sessions. The wire itself is in
// format.ts. [OPS-1] [OPS-2]
export { type AppendAllowance, createAppendAllowance } from "./allowance.ts";
export { createRequestBudget, type RequestBudget, type RequestBudgetLimits } from "./budget.ts";
export type { VerbHandlers } from "./dispatch.ts";
export { ANSWER_ENVELOPE_BYTES } from "./limits.ts";
export { createRefusalRecorder } from "./refusals.ts";
export { createProtocolSession, type ProtocolSession } from "./session.ts";
