// Whether the system under trial is well: what the warden saw itself, in this boot. Pure but for the ports it asks. [OTA-43]
import type { HealthResult } from "../../ota/commit/index.ts";
import type { HealthPorts } from "./ports.ts";

const PASSED = { verdict: "passed", detail: "" } as const;

/** [OTA-43] A check that is not known here waits for ever, which the deadline ends. */
export function look(name: string, health: HealthPorts): HealthResult {
  switch (name) {
    case "agent":
      return { name, ...(health.agentGreeted() ? PASSED : waiting("it has not greeted the warden")) };
    case "hub":
      return { name, ...(health.hubHeard() ? PASSED : waiting("nothing fresh that the hub signed has come")) };
    case "lockdown":
      return { name, ...health.lockdown() };
    default:
      return { name, ...waiting("this version has no such check") };
  }
}

function waiting(detail: string): { readonly verdict: "waiting"; readonly detail: string } {
  return { verdict: "waiting", detail };
}

/** @returns the checks whose answer is another one than `known`. What passes comes last: told before what passes no more, it could be the last that was waited for. */
export function changed(known: readonly HealthResult[], health: HealthPorts): readonly HealthResult[] {
  return known
    .map((before) => ({ before, now: look(before.name, health) }))
    .filter(({ before, now }) => before.verdict !== now.verdict || before.detail !== now.detail)
    .map(({ now }) => now)
    .sort((a, b) => Number(a.verdict === "passed") - Number(b.verdict === "passed"));
}
