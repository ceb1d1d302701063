// One person at the cable, from the first key to the hang-up or the long silence. [CON-1] [CON-3]
import { randomBytes } from "node:crypto";
import { check } from "../../hal/format/schema.ts";
import { tokenBucket } from "../../hal/pace/index.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { type OperationAnswer, OPERATIONS } from "../operations/format.ts";
import type { Operations } from "../operations/index.ts";
import { plainJson, renderStatus } from "../status/index.ts";
import type { Chunk, Chunks } from "./chunks.ts";
import { type Command, commandOf } from "./commands.ts";
import { COMMAND_REFILL_MS, COMMANDS_BURST_MAX, IDLE_MS_MAX } from "./limits.ts";
import { EMPTY_LINE, type LineEvent, readBytes } from "./line.ts";
import {
  bannerText,
  faultText,
  helpText,
  type Host,
  idleText,
  promptText,
  tooLongText,
  tooManyText,
  unknownText,
} from "./screen.ts";

export interface SessionParts {
  readonly chunks: Chunks;
  /** Prints; a newline becomes CR LF on its way. @throws Fault `serial.closed`. */
  readonly print: (text: string) => Promise<void>;
  readonly operations: Operations;
  /** Never throws: what can't be recorded is a trouble of whoever gave this. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly host: () => Host;
}

/**
 * Serves the session that begins with `first`. Commands run one after the other; what is typed meanwhile waits in the line's own bounded buffer.
 * @returns why it ended. @throws Fault `serial.closed` when the line hangs up while we print.
 */
export async function serveSession(parts: SessionParts, first: Uint8Array): Promise<"hang-up" | "idle"> {
  const { chunks, print, host } = parts;
  const session = `console-${randomBytes(4).toString("hex")}`;
  const dialogue = createDialogue(parts, session);
  await parts.record({ event: "console.opened", result: "ok", principal: "console", correlation: session });
  try {
    await print(`${bannerText(host())}${promptText(host())}`);
    let line = EMPTY_LINE;
    let chunk: Chunk = { kind: "bytes", bytes: first };
    while (chunk.kind === "bytes") {
      const { state, events } = readBytes(line, chunk.bytes);
      line = state;
      for (const event of isWakeUp(chunk.bytes, first) ? events.slice(1) : events) await dialogue.take(event);
      chunk = await chunks.next(IDLE_MS_MAX);
    }
    if (chunk.kind === "end") return "hang-up";
    await print(idleText());
    return "idle";
  } finally {
    await parts.record({ event: "console.closed", result: "ok", principal: "console", correlation: session });
  }
}

/** The Enter that began the session: the banner's prompt is its answer. */
function isWakeUp(bytes: Uint8Array, first: Uint8Array): boolean {
  return bytes === first && (first[0] === 0x0d || first[0] === 0x0a);
}

/** Answers what the line reader found. Remembers how fast commands come and how many there were, no more. */
function createDialogue(
  { print, operations, record, clock, host }: SessionParts,
  session: string,
): { take(event: LineEvent): Promise<void> } {
  const bucket = tokenBucket(clock, COMMANDS_BURST_MAX, COMMAND_REFILL_MS);
  let flooding = false;
  let asked = 0;

  async function refused(reason: string): Promise<void> {
    await record({
      event: "input.refused",
      result: "refused",
      principal: "console",
      correlation: session,
      detail: { channel: "console", reason },
    });
  }

  /** One record for a whole flood: the trail must not be what is flooded. */
  async function mayGoOn(): Promise<boolean> {
    if (bucket.take()) {
      flooding = false;
      return true;
    }
    if (!flooding) await refused("too many commands at once");
    flooding = true;
    await print(tooManyText(bucket.dueMs()));
    return false;
  }

  async function answer(command: Command): Promise<void> {
    if (command.does.kind === "help") return print(helpText());
    const { operation, show } = command.does;
    asked += 1;
    const request = { v: 1, id: `${session}-${asked}`, operation, args: {} };
    await print(answerText(await operations.perform({ channel: "console" }, request), show));
  }

  async function takeLine(text: string): Promise<void> {
    const command = commandOf(text);
    if (command === "nothing" || !(await mayGoOn())) return;
    if (command === "unknown") await print(unknownText(text));
    else await answer(command);
  }

  return {
    async take(event) {
      if (event.kind === "echo") return print(event.text);
      if (event.kind === "redraw") return print(`\n${promptText(host())}${event.text}`);
      await print(event.kind === "interrupt" ? "^C\n" : "\n");
      if (event.kind === "line") await takeLine(event.text);
      if (event.kind === "too-long" && (await mayGoOn())) {
        await refused("line too long");
        await print(tooLongText());
      }
      await print(promptText(host()));
    },
  };
}

function answerText(answer: OperationAnswer, show: "text" | "json"): string {
  if ("fault" in answer) return faultText(answer.fault);
  if (show === "json") return `${plainJson(answer.result)}\n`;
  return renderStatus(check(OPERATIONS.status.result, answer.result, "status"));
}
