// What commands share that ask a device: how long they wait, and how they print the outcome.
import { setTimeout as delay } from "node:timers/promises";
import { printableJson } from "../../hal/format/text.ts";
import type { JsonValue } from "../../hal/format/json.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { ANSWER_POLL_MS } from "../limits.ts";
import { type Answered, ask } from "../outbox/index.ts";
import type { JournalDetail } from "../store/index.ts";
import type { Given, HubTerminal } from "./command.ts";
import { printed } from "./render.ts";
import { type Opened, operator } from "./state.ts";

export const WAIT_OPTION = { wait: { type: "string" } } as const;
const WAIT_MS_DEFAULT = 30_000;

export function waitMsOf(given: Given): number {
  return given.duration("wait") ?? WAIT_MS_DEFAULT;
}

export async function askDevice(
  opened: Opened,
  terminal: HubTerminal,
  deviceId: DeviceId,
  operation: string,
  args: JsonValue,
  waitMs: number,
  detail: JournalDetail = {},
): Promise<Answered> {
  return ask(opened, { deviceId, operation, args, waitMs, detail: { ...detail, by: operator() } }, terminal.stop);
}

/** Prints the outcome. @returns the exit code: 0 answered, 1 refused, 3 no answer in time. */
export async function printAnswer(given: Given, terminal: HubTerminal, { store }: Opened, answered: Answered): Promise<number> {
  if (given.flag("json")) terminal.out(printableJson(answered));
  switch (answered.state) {
    case "answered":
      if (!given.flag("json")) terminal.out(`"${answered.deviceId}" says:\n${jsonLines(answered.result)}`);
      return 0;
    case "refused":
      terminal.err(printed(`sallyport-hub: ${answered.fault.code}: "${answered.deviceId}" refused: ${answered.fault.message}`));
      return 1;
    case "no-answer": {
      const { deviceId, operation, delivered } = answered;
      const away = (await store.connections.find(deviceId)) === undefined;
      const cause = away
        ? "the device is not connected, or no hub runs on this state; run sallyport-hub devices list to see"
        : "the device is connected but did not acknowledge it";
      const why = delivered
        ? "the device has the question, so the operation may still be performed"
        : `the question was withdrawn; ${cause}`;
      terminal.err(`sallyport-hub: hub.no-answer: ask "${deviceId}" for ${operation}: no answer in time; ${why}`);
      return 3;
    }
  }
}

/** JSON for people, without control characters from a device. */
export function jsonLines(value: unknown): string {
  return printableJson(value, 2);
}

/** Polls `find`. @returns its first result, or undefined when there is none within `waitMs`. */
export async function poll<T>(find: () => Promise<T | undefined>, waitMs: number, stop: AbortSignal): Promise<T | undefined> {
  const untilMs = Date.now() + waitMs;
  for (;;) {
    const found = await find();
    if (found !== undefined || stop.aborted || Date.now() >= untilMs) return found;
    await delay(ANSWER_POLL_MS);
  }
}
