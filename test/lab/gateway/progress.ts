// How far an update of a gateway is, as its hub was told.
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { type UpdateStatus, updateStatusSchema } from "../../../warden/protocol/format.ts";
import type { HubDesk } from "../hub-desk.ts";
import { hubSays } from "../hub-says.ts";

const LOOK_EVERY_MS = 2000;

const reportSchema = v.looseObject({ update: v.optional(updateStatusSchema) });

/** @returns undefined when it was told nothing yet. */
export async function updateStatus(hub: HubDesk, id: string): Promise<UpdateStatus | undefined> {
  return (await hubSays(hub, reportSchema, "update", "status", id)).update;
}

export interface Awaited {
  readonly hub: HubDesk;
  readonly id: string;
  readonly timeoutMs: number;
  /** Told each other state on the way. */
  readonly say: (line: string) => void;
}

/** @returns the first status that `isIt`. @throws Fault `process.timeout` with the last one. */
export async function awaitUpdate(
  { hub, id, timeoutMs, say }: Awaited,
  what: string,
  isIt: (status: UpdateStatus) => boolean,
): Promise<UpdateStatus> {
  const until = performance.now() + timeoutMs;
  let before = "";
  for (;;) {
    const status = await updateStatus(hub, id);
    const shown = JSON.stringify(status);
    if (shown !== before) say(`the hub was told: ${shown}`);
    before = shown;
    if (status !== undefined && isIt(status)) return status;
    if (performance.now() > until)
      throw new Fault("process.timeout", `not within ${timeoutMs} ms: ${what}; the hub was told last: ${shown}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
