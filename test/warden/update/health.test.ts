// Two checks that change at the same moment, one to passed and one away from it.
import { test } from "tap";
import { next, START } from "../../../ota/commit/machine.ts";
import type { State } from "../../../ota/commit/index.ts";
import { changedResults } from "../../../warden/update/health.ts";

const release = { target: "os/gateway-2", digest: "2".repeat(64), line: "os", counter: 2, floorAfterCommit: 1 };

test("[OTA-60] [OTA-43] a system whose last check passes while another one stops passing is not healthy", async (t) => {
  const health = [
    { name: "agent", verdict: "passed", detail: "" },
    { name: "hub", verdict: "waiting", detail: "" },
    { name: "lockdown", verdict: "passed", detail: "" },
  ] as const;
  const trial = { tries: 1, seen: true, deadlineUptimeMs: 60_000, health: [...health] };
  let state: State = { ...START, phase: { at: "trying", release, slot: "b", trial } };
  const now = changedResults(health, {
    agentGreeted: () => true,
    hubHeard: () => true,
    lockdown: () => ({ verdict: "waiting", detail: "everything is shut" }),
  });
  for (const result of now) state = next(state, { kind: "health", result }).state;
  t.match(state.phase, { at: "trying", trial: { health: [{}, { verdict: "passed" }, { verdict: "waiting" }] } });
});
