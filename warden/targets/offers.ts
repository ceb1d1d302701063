// The offers of a cycle: what the agent may act upon for this device. Pure.
import { DELEGATED_ROLES } from "../../ota/trust/format/index.ts";
import type { TargetOffer } from "./format.ts";
import type { Candidate, Choice } from "./selection.ts";
import { OFFERS_MAX } from "./limits.ts";
import { PAYLOAD_LINES, type Payloads } from "./payloads.ts";

/**
 * The newest target of each line, the roles' own lines first. A policy or a roster is offered once
 * it is stored: only a stored one can be tried.
 */
export function offersOf({ newest }: Choice, payloads: Pick<Payloads, "stored">): TargetOffer[] {
  const rank = (line: string): string => `${DELEGATED_ROLES.some((role) => role === line) ? 0 : 1}${line}`;
  return [...newest]
    .sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1))
    .flatMap(([line, candidate]) => offerOf(line, candidate, payloads))
    .slice(0, OFFERS_MAX);
}

function offerOf(line: string, { target, custom, digest }: Candidate, payloads: Pick<Payloads, "stored">): TargetOffer[] {
  const payloadLine = PAYLOAD_LINES.find((each) => each === line);
  if (payloadLine === undefined) return [{ line, target: target.path, counter: custom.counter, digest }];
  const stored = payloads.stored(payloadLine);
  if (stored === undefined || stored.counter !== custom.counter) return [];
  return [{ line, target: stored.target, counter: stored.counter, digest: stored.digest }];
}
