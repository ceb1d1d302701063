// What a cycle found for this device, for the agent to act upon. Pure.
import { DELEGATED_ROLES } from "../../ota/trust/format/index.ts";
import type { TargetOffer } from "./format.ts";
import type { Candidate, Choice } from "./selection.ts";
import { OFFERS_MAX } from "./limits.ts";
import { PAYLOAD_LINES, type Payloads } from "./payloads.ts";

/** The newest of each line, the roles' own lines first. A policy or a roster is offered once it was taken: what is not here can't be tried. */
export function offersOf({ newest }: Choice, payloads: Pick<Payloads, "kept">): TargetOffer[] {
  const rank = (line: string): string => `${DELEGATED_ROLES.some((role) => role === line) ? 0 : 1}${line}`;
  return [...newest]
    .sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1))
    .flatMap(([line, candidate]) => offerOf(line, candidate, payloads))
    .slice(0, OFFERS_MAX);
}

function offerOf(line: string, { target, custom, digest }: Candidate, payloads: Pick<Payloads, "kept">): TargetOffer[] {
  const own = PAYLOAD_LINES.find((each) => each === line);
  if (own === undefined) return [{ line, target: target.path, counter: custom.counter, digest }];
  const kept = payloads.kept(own);
  if (kept === undefined || kept.counter !== custom.counter) return [];
  return [{ line, target: kept.target, counter: kept.counter, digest: kept.digest }];
}
