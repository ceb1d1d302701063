// Health checks of the system under trial: what the warden itself saw in this boot. Pure, apart
// from the ports it reads. [OTA-43]
import type { HealthResult } from "../../ota/commit/index.ts";
import type { CheckResult, HealthPorts } from "./ports.ts";

const PASSED: CheckResult = { verdict: "passed", detail: "" };

/**
 * [OTA-43]
 * @returns the results that differ from `known`, those that passed last. Otherwise the last missing
 *   check could commit a system before the driver hears that another check no longer passes.
 */
export function changedResults(known: readonly HealthResult[], health: HealthPorts): readonly HealthResult[] {
  return known
    .map((before) => ({ before, now: { name: before.name, ...checkHealth(before.name, health) } }))
    .filter(({ before, now }) => before.verdict !== now.verdict || before.detail !== now.detail)
    .map(({ now }) => now)
    .sort((a, b) => Number(a.verdict === "passed") - Number(b.verdict === "passed"));
}

/** [OTA-43] A check that this version does not know waits until the deadline ends the trial. */
function checkHealth(name: string, health: HealthPorts): CheckResult {
  switch (name) {
    case "agent":
      return health.agentGreeted() ? PASSED : waiting("it has not greeted the warden");
    case "hub":
      return health.hubHeard() ? PASSED : waiting("nothing fresh signed by the hub has arrived");
    case "lockdown":
      return health.lockdown();
    default:
      return waiting("this version does not know the check");
  }
}

function waiting(detail: string): CheckResult {
  return { verdict: "waiting", detail };
}
