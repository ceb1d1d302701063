// The agent does not go on with an update by itself: who has to hear of it, and whether the warden is to end it. [OTA-41]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { type Follower, isBusy } from "./follow.ts";
import { ABANDON_CHARACTERS_MAX } from "./limits.ts";

export interface GivenUp {
  /** What the hub pointed at; undefined: whatever the warden is at. */
  readonly target: string | undefined;
  /** It made way for this one. */
  readonly instead: string | undefined;
  readonly fault: Fault;
}

/**
 * [OTA-41] What the release itself is the matter of, the warden is to end: it would wait for it for ever, and nothing else could be taken up. Where the line is the
 * matter, the next connection goes on with it. Either way the hub is told.
 * @throws Fault of a warden that is away.
 */
export async function giveUp(
  { warden, follower }: { readonly warden: Pick<WardenClient, "call">; readonly follower: Follower },
  { target, instead, fault }: GivenUp,
): Promise<void> {
  const update = await warden.call("update.read", {});
  const current = update.release?.target;
  if (isBusy(update)) {
    const isIt = target === undefined || target === current;
    if (isIt && instead !== undefined && instead === current) return; // the same one, by its name
    if (!isIt) return follower.remark("hint", `${target}: ${fault.code}: ${fault.message}`);
    if (isOfTheRelease(fault)) return await abandon(warden, follower, fault);
    return follower.remark("line", `to be gone on with after the next connection: ${fault.code}: ${fault.message}`);
  }
  // what the warden ended meanwhile, it tells by itself
  if (target === undefined || fault.code === "update.not-waiting" || (target === current && isOfTheRelease(fault))) return;
  await follower.tellFailed(target, fault);
}

async function abandon(warden: Pick<WardenClient, "call">, follower: Follower, fault: Fault): Promise<void> {
  const { code } = fault;
  const message = fault.message.slice(0, ABANDON_CHARACTERS_MAX).toWellFormed();
  try {
    await warden.call("update.abandon", { code, message });
  } catch (error) {
    const refusal = asFault(error, "protocol.closed", "give an update up");
    if (refusal.code !== "update.not-waiting") throw refusal; // else it went on meanwhile, or was ended
  }
  follower.poke();
}

const OF_THE_RELEASE = ["chunk.missing", "chunk.tampered", "image.invalid", "fetch.too-large", "fetch.refused", "update.aborted"];

/** What the repository has of it is wrong or not there, and stayed so for as long as the agent had patience. */
function isOfTheRelease({ code }: Fault): boolean {
  return OF_THE_RELEASE.includes(code) || code.startsWith("index.");
}
