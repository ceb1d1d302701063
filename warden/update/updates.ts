// Updates of this machine: judged and remembered here, brought by the agent, written by the installer, tried, and committed when they are well.
// [OTA-35] [OTA-41] [OTA-43]
import { asFault, Fault } from "../../hal/fault.ts";
import { createMutex } from "../../hal/mutex.ts";
import type { Release } from "../../ota/commit/index.ts";
import { floorsOf } from "../../ota/floor/index.ts";
import { createRateLimitedRecorder } from "../audit/index.ts";
import type { UpdateStatus } from "./format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import { openApproval } from "./approval.ts";
import { createAdmission, underWay } from "./admission.ts";
import { type UpdateDriver, openUpdateDriver } from "./driver.ts";
import { REFUSAL_PERIOD_MS, REFUSALS_BURST_MAX, TROUBLES_MAX } from "./limits.ts";
import type { UpdatePorts, UpdateSettings } from "./ports.ts";
import { planHashOf, statusOf } from "./status.ts";
import { clipReason } from "./trail.ts";
import { createTrialWatch } from "./trial-watch.ts";
import { createDisabledUpdates } from "./disabled.ts";
import { createInstallation } from "./installation.ts";

/** What an order says, once its signature was checked. */
export interface Ordered {
  readonly planHash?: string | undefined;
  /** Who gave it. */
  readonly by: string;
}

export interface Updates {
  readonly verbs: Pick<VerbHandlers, "update.read" | "update.begin" | "update.write" | "update.abandon">;
  status(): UpdateStatus;
  /** [OTA-35] Once, when the program starts: what really booted settles what was left. Never rejects. */
  settle(): Promise<void>;
  /** What an order `update.approve` has to be over; undefined when nothing waits for one. */
  awaits(): string | undefined;
  /** [OTA-41] @throws Fault `update.not-waiting` when this is not what waits for an order. */
  approve(order: Ordered): Promise<void>;
  /** What an order `update.revert` has to be over: one for this release is not to stop the next. Undefined when nothing could be reverted. */
  revertible(): string | undefined;
  /** Ends what is under way and is not committed. @throws Fault `update.not-waiting` when nothing is, or another release than the order's. */
  revert(order: Ordered): Promise<void>;
  /** Records the reason, then asks for an orderly reboot. @throws Fault `power.failed`. */
  reboot(reason: string): Promise<void>;
  /** Lowest counters that may still be installed, by line. @throws Fault `floor.*`: then no release may be. [OTA-36] */
  floors(): ReadonlyMap<string, number>;
  /** Something happened that the health of a new system is judged by: it is looked at now. [OTA-43] */
  nudge(): void;
  troubles(): readonly Fault[];
  /** Resolves when the installer is gone. What is under way goes on with the next start. */
  stop(): Promise<void>;
}

/** Never fails: without a record that can be read, updates are refused and that is a trouble. To be settled next. */
export async function startUpdates(ports: UpdatePorts, settings: UpdateSettings): Promise<Updates> {
  try {
    return await openUpdates(ports, settings);
  } catch (error) {
    const fault = asFault(error, "assert.broken", "open the update record");
    ports.report(fault);
    return createDisabledUpdates(fault, ports, settings);
  }
}

async function openUpdates(ports: UpdatePorts, settings: UpdateSettings): Promise<Updates> {
  const { floors, report } = ports;
  const refused = createRateLimitedRecorder(ports.note, ports.clock, REFUSALS_BURST_MAX, REFUSAL_PERIOD_MS);
  const approval = await openApproval(ports.files, report);
  const inTurn = createMutex();
  /** Refused for want of an order, the last one. */
  let asked: Release | undefined;

  const watch = createTrialWatch(ports, () => engine);
  const writing = createInstallation(ports, (event) => engine.told(event));
  const engine: UpdateDriver = await openUpdateDriver(ports, settings, {
    write: (release, slot) => writing.start(release, slot),
    watch: () => watch.start(),
    settled: () => void goOn(),
    changed: ({ phase }) => {
      if (phase.at === "written") void goOn();
      if (phase.at === "fetching") asked = undefined;
    },
  });
  const begin = createAdmission(ports, settings, engine, writing, {
    isOrdered: ({ digest }) => approval.has(digest),
    asked: (release) => {
      asked = release;
    },
  });

  const needsOrder = ({ digest }: Release): boolean => settings.approval === "order" && !approval.has(digest);
  /** [OTA-41] A release that is written is tried, unless it waits for an order. */
  const goOn = async (): Promise<void> => {
    const { phase } = engine.state();
    if (phase.at !== "written" || needsOrder(phase.release)) return;
    try {
      const bootId = await ports.bootId();
      await approval.spend();
      await engine.tell({ kind: "try", checks: settings.checks, bootId });
    } catch (error) {
      engine.troubled(error);
    }
  };
  const waiting = (): Release | undefined => {
    const { phase } = engine.state();
    if (phase.at === "written" && needsOrder(phase.release)) return phase.release;
    return underWay(phase) === undefined ? asked : undefined;
  };
  const awaits = (): string | undefined => {
    const release = waiting();
    return release === undefined ? undefined : planHashOf(release);
  };
  const revertible = (): string | undefined => {
    const { phase } = engine.state();
    const isRevertible = phase.at === "fetching" || phase.at === "verified" || phase.at === "written" || phase.at === "trying";
    return isRevertible ? planHashOf(phase.release) : undefined;
  };
  const status = (): UpdateStatus =>
    statusOf(engine.state(), {
      version: settings.image?.version,
      running: engine.running(),
      expects: writing.expects(),
      awaitsOrder: awaits(),
    });

  return {
    verbs: {
      "update.read": async () => status(),
      "update.begin": ({ target, absent }) =>
        inTurn(async () => {
          try {
            const outcome = await begin(target, absent);
            return outcome === "begun" ? { state: "begun", update: status() } : outcome;
          } catch (error) {
            const fault = asFault(error, "assert.broken", "take up a release");
            const detail = { target, code: fault.code, reason: clipReason(fault.message) };
            if (!fault.code.startsWith("file.")) await refused({ event: "update.refused", result: "refused", detail });
            throw fault;
          }
        }),
      "update.write": async (stretch) => {
        const { phase } = engine.state();
        if (phase.at !== "verified")
          throw new Fault("update.not-waiting", `write chunks: nothing is being written, the update is ${phase.at}`);
        await writing.write(stretch);
        return status();
      },
      "update.abandon": ({ code, message }) =>
        inTurn(async () => {
          const { at } = engine.state().phase;
          if (at !== "fetching" && at !== "verified")
            throw new Fault("update.not-waiting", `give an update up: nothing is expected of the agent, the update is ${at}`);
          await engine.tell({ kind: "failed", code: "update.aborted", message: `the agent gave up: ${code}: ${message}` });
          await writing.abort();
          return status();
        }),
    },
    status,
    settle: () => engine.settle(),
    awaits,
    approve: async ({ planHash }) => {
      const release = waiting();
      if (release === undefined || planHashOf(release) !== planHash)
        throw new Fault("update.not-waiting", `approve ${planHash ?? "a release"}: ${awaits() ?? "nothing"} waits for an order`);
      await approval.give(release.digest);
      if (release === asked) asked = undefined;
      await goOn();
    },
    revertible,
    revert: async ({ planHash, by }) => {
      const current = revertible();
      if (current === undefined)
        throw new Fault(
          "update.not-waiting",
          `revert an update: none is under way that could be, it is ${engine.state().phase.at}`,
        );
      if (planHash !== undefined && planHash !== current)
        throw new Fault("update.not-waiting", `revert ${planHash}: ${current} is under way`);
      await engine.tell({ kind: "revert", by });
      await writing.abort();
    },
    reboot: (reason) => engine.reboot(reason),
    floors: () => {
      if (floors instanceof Fault) throw floors;
      return floorsOf(floors.record());
    },
    nudge: () => watch.nudge(),
    troubles: () => [engine.trouble(), floors].filter((each) => each instanceof Fault).slice(0, TROUBLES_MAX),
    stop: async () => {
      engine.stop();
      watch.stop();
      await writing.abort();
      await engine.told({ kind: "tick", uptimeMs: 0 }); // changes nothing: its turn comes when what was begun is done
    },
  };
}
