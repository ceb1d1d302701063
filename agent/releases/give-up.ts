// The end of the agent's own attempts at an update: the hub is told, and the warden ends the
// release if the release itself is the reason. [OTA-68]
import { asFault, type Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import { isUpdateActive } from "../../ota/commit/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { isReleaseFault } from "./faults.ts";
import { ABANDON_CHARACTERS_MAX } from "./limits.ts";
import type { UpdateReporter } from "./update-reporter.ts";

export interface GivenUp {
  /** Target of the hub's hint; undefined: the release that the warden has. */
  readonly target: string | undefined;
  /** Target that takes its place. */
  readonly instead: string | undefined;
  readonly fault: Fault;
}

/**
 * [OTA-41] A release that is itself at fault is abandoned at the warden: otherwise the warden would
 * wait for it without end, and no other release could be taken up. If the network is at fault, the
 * next connection continues the update. The hub is told in both cases.
 * @throws Fault `protocol.closed` while the warden is away; `tunnel.*`.
 */
export async function giveUp(
  { warden, reporter }: { readonly warden: Pick<WardenClient, "call">; readonly reporter: UpdateReporter },
  { target, instead, fault }: GivenUp,
): Promise<void> {
  const { phase, release } = await warden.call("update.read", {});
  const current = release?.target;
  const isCurrent = target === undefined || target === current;
  if (!isUpdateActive(phase)) {
    // What the warden has ended in the meantime, the reporter takes from the warden.
    const isEnded = fault.code === "update.not-waiting" || (target === current && isReleaseFault(fault));
    if (target !== undefined && !isEnded) await reporter.reportFailed(target, fault);
    return;
  }
  if (!isCurrent) {
    reporter.remark("hint", `${target}: ${fault.code}: ${fault.message}`);
    return;
  }
  if (instead !== undefined && instead === current) return; // the same release, by its name
  if (isReleaseFault(fault)) await abandon(warden, reporter, fault);
  else reporter.remark("connection", `continues after the next connection: ${fault.code}: ${fault.message}`);
}

async function abandon(warden: Pick<WardenClient, "call">, reporter: UpdateReporter, fault: Fault): Promise<void> {
  const { code } = fault;
  const message = clip(fault.message, ABANDON_CHARACTERS_MAX);
  try {
    await warden.call("update.abandon", { code, message });
  } catch (error) {
    const refusal = asFault(error, "protocol.closed", "give an update up");
    // `update.not-waiting`: in the meantime the update has continued or was ended.
    if (refusal.code !== "update.not-waiting") throw refusal;
  }
  reporter.poke();
}
