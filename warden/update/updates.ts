// The update service: maps the verbs of the protocol, the orders and the status onto the driver.
// [OTA-35] [OTA-41] [OTA-43]
import { asFault, Fault } from "../../hal/fault.ts";
import { floorsOf } from "../../ota/floor/index.ts";
import { createRateLimitedRecorder } from "../audit/index.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import { createDisabledUpdates } from "./disabled.ts";
import { openUpdateDriver, type UpdateDriver } from "./driver.ts";
import type { UpdateStatus } from "./format.ts";
import { REFUSAL_PERIOD_MS, REFUSALS_BURST_MAX, TROUBLES_MAX } from "./limits.ts";
import type { Updates, UpdatePorts, UpdateSettings } from "./ports.ts";
import { statusOf } from "./status.ts";
import { clipReason } from "./trail.ts";

/**
 * Never fails: without a readable record updates are refused, and that is a trouble. Call `settle`
 * next.
 */
export async function startUpdates(ports: UpdatePorts, settings: UpdateSettings): Promise<Updates> {
  try {
    return createUpdates(await openUpdateDriver(ports, settings), ports, settings);
  } catch (error) {
    const { code, message } = asFault(error, "assert.broken", "open the update record");
    // [STA-6] only the record of an update is ever discarded, never floors
    const remedy = "no release is taken until a release that reads it runs, or an operator's order update.revert discards it";
    const fault = new Fault(code, `${message}; ${remedy}`, { cause: error });
    ports.report(fault);
    return createDisabledUpdates(fault, ports, settings);
  }
}

function createUpdates(driver: UpdateDriver, ports: UpdatePorts, { image }: UpdateSettings): Updates {
  const { floors } = ports;
  const status = (): UpdateStatus =>
    statusOf(driver.state(), {
      version: image?.version,
      running: driver.running(),
      expects: driver.expects(),
      awaitsOrder: driver.awaits(),
    });
  return {
    verbs: createVerbs(driver, status, ports),
    orders: {
      "update.approve": { planHash: () => driver.awaits(), execute: (order) => driver.approve(order) },
      "update.revert": { planHash: () => driver.revertible(), execute: (order) => driver.revert(order) },
      "system.reboot": { planHash: () => undefined, execute: ({ by }) => driver.reboot(`ordered by ${by}`) },
    },
    status,
    settle: () => driver.settle(),
    floors: () => {
      if (floors instanceof Fault) throw floors;
      return floorsOf(floors.record());
    },
    nudge: () => driver.nudge(),
    troubles: () =>
      [driver.trouble(), driver.approvalFault(), floors].filter((each) => each instanceof Fault).slice(0, TROUBLES_MAX),
    stop: () => driver.stop(),
  };
}

function createVerbs(driver: UpdateDriver, status: () => UpdateStatus, { record, clock }: UpdatePorts): Updates["verbs"] {
  const recordRefusal = createRateLimitedRecorder(record, clock, REFUSALS_BURST_MAX, REFUSAL_PERIOD_MS);
  const begin: VerbHandlers["update.begin"] = async ({ target, absent }) => {
    try {
      const outcome = await driver.begin(target, absent);
      return outcome === "begun" ? { state: "begun", update: status() } : outcome;
    } catch (error) {
      const fault = asFault(error, "assert.broken", "take up a release");
      const detail = { target, code: fault.code, reason: clipReason(fault.message) };
      if (!fault.code.startsWith("file.")) await recordRefusal({ event: "update.refused", result: "refused", detail });
      throw fault;
    }
  };
  return {
    "update.read": async () => status(),
    "update.begin": begin,
    "update.write": async (range) => {
      await driver.write(range);
      return status();
    },
    "update.abandon": async ({ code, message }) => {
      await driver.abandon(code, message);
      return status();
    },
  };
}
