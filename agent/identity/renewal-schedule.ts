// When the certificate is looked at next. Pure.
import type { Renewal } from "../../provisioning/certificate/index.ts";
import { TICK_MS, TICK_MS_MIN } from "./limits.ts";

type State = ReturnType<Renewal["state"]>;

/** At the certificate's next date, but no later than {@link TICK_MS}: the wall clock may step, and a wait does not feel it. [ID-9] */
export function nextCheckInMs(state: State, nowMs: number): number {
  return Math.min(Math.max(dateOf(state) - nowMs, TICK_MS_MIN), TICK_MS);
}

function dateOf(state: State): number {
  switch (state.at) {
    case "fresh":
      return state.renewAtMs;
    case "due":
      return Math.min(state.retryAtMs, state.current.notAfterMs);
    case "renewing":
    case "proving":
    case "expired":
      return Number.POSITIVE_INFINITY;
  }
}
