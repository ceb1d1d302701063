// The schedule of checks of the device certificate. Pure.
import type { Renewal } from "../../provisioning/certificate/index.ts";

/** Between two checks at most: the wall clock may step, and a timer does not notice. */
export const CHECK_MS_MAX = 60_000;
/** Between two checks at least: a date in the past is no reason to spin. */
export const CHECK_MS_MIN = 250;

type RenewalState = ReturnType<Renewal["state"]>;

/** At the certificate's next date, within the two bounds. [ID-9] */
export function nextCheckInMs(state: RenewalState, nowMs: number): number {
  return Math.min(Math.max(nextDateMs(state) - nowMs, CHECK_MS_MIN), CHECK_MS_MAX);
}

function nextDateMs(state: RenewalState): number {
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
