// A system under trial is looked at, and its deadline kept by the uptime of this boot. [OTA-35] [OTA-43]
import { asFault } from "../../hal/fault.ts";
import { changed } from "./health.ts";
import type { UpdateDriver } from "./driver.ts";
import { HEALTH_EVERY_MS } from "./limits.ts";
import type { UpdatePorts } from "./ports.ts";

export interface TrialWatch {
  /** From now on, until the trial is over. */
  start(): void;
  /** Something that counts may have happened: looks at once. */
  nudge(): void;
  stop(): void;
}

export function createTrialWatch(
  { health, uptimeMs, clock, report }: Pick<UpdatePorts, "health" | "uptimeMs" | "clock" | "report">,
  engine: () => Pick<UpdateDriver, "state" | "told">,
): TrialWatch {
  const stopped = new AbortController();
  let isWatching = false;

  const isOn = (): boolean => {
    const { phase } = engine().state();
    return phase.at === "trying" && phase.trial.seen && !stopped.signal.aborted;
  };
  const judge = async (): Promise<void> => {
    const { phase } = engine().state();
    if (phase.at !== "trying" || !isOn()) return;
    for (const result of changed(phase.trial.health, health)) if (isOn()) await engine().told({ kind: "health", result });
  };
  const watch = async (): Promise<void> => {
    while (isOn()) {
      await judge(); // first: the reason of a roll-back is to say what had passed
      try {
        const now = await uptimeMs();
        if (isOn()) await engine().told({ kind: "tick", uptimeMs: now });
      } catch (error) {
        report(asFault(error, "assert.broken", "read the uptime"));
      }
      await clock.sleep(HEALTH_EVERY_MS, stopped.signal);
    }
    isWatching = false;
  };
  return {
    start: () => {
      if (isWatching) return;
      isWatching = true;
      void watch();
    },
    nudge: () => void judge(),
    stop: () => stopped.abort(),
  };
}
