// One person at the cable, from the first key to the logout, the hang-up or the long silence. [CON-1] [CON-3] [CON-4]
import { randomBytes } from "node:crypto";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { Operations } from "../operations/index.ts";
import type { TimedRead, TimedReader } from "./timed-reader.ts";
import { createDialogue, type Dialogue } from "./dialogue.ts";
import type { LoginThrottle } from "./login-throttle.ts";
import { EMPTY_LINE, readBytes } from "./line.ts";
import type { OrderPorts } from "./challenge.ts";
import { bannerText, type Host, idleText } from "./screen.ts";

export interface ConsoleSessionOptions {
  readonly chunks: TimedReader;
  /** Prints; a newline becomes CR LF on its way. @throws Fault `serial.closed`. */
  readonly print: (text: string) => Promise<void>;
  readonly operations: Operations;
  readonly orders: OrderPorts;
  /** Of the whole console: what it remembers of refused answers outlives this session. [CON-5] */
  readonly gate: LoginThrottle;
  /** Never throws: what can't be recorded is a trouble of whoever gave this. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly host: () => Host;
}

export type SessionEnd = "hang-up" | "idle" | "logout";

/**
 * Serves the session that begins with `first`. Commands run one after the other; what is typed meanwhile waits in the line's own bounded buffer. Who logged in is
 * forgotten with it, however it ends.
 * @returns why it ended. @throws Fault `serial.closed` when the line hangs up while we print.
 */
export async function serveSession(parts: ConsoleSessionOptions, first: Uint8Array): Promise<SessionEnd> {
  const session = `console-${randomBytes(4).toString("hex")}`;
  const dialogue = createDialogue(parts, session);
  await parts.record({ event: "console.opened", result: "ok", principal: "console", correlation: session });
  let end: SessionEnd = "hang-up";
  try {
    await parts.print(`${bannerText(parts.host())}${dialogue.prompt()}`);
    end = await converse(parts, dialogue, first);
    if (end === "idle") await parts.print(idleText(dialogue.idleMsMax(), dialogue.login()));
    return end;
  } finally {
    const principal = dialogue.login()?.id ?? "console";
    await parts.record({ event: "console.closed", result: "ok", principal, correlation: session, detail: { reason: end } });
  }
}

async function converse({ chunks, clock }: ConsoleSessionOptions, dialogue: Dialogue, first: Uint8Array): Promise<SessionEnd> {
  let line = EMPTY_LINE;
  let chunk: TimedRead = { kind: "bytes", bytes: first };
  let keyAtMs = clock.monotonicMs();
  for (;;) {
    if (chunk.kind === "end") return "hang-up";
    if (chunk.kind === "idle") return "idle";
    const { state, events } = readBytes(line, chunk.bytes);
    line = state;
    for (const event of isWakeUp(chunk.bytes, first) ? events.slice(1) : events)
      if ((await dialogue.take(event)) === "over") return "logout"; // what came after it in one go is nobody's: dropped
    if (events.length > 0) keyAtMs = clock.monotonicMs(); // bytes that are no keys, of a line that floats, keep nobody logged in
    const idleMs = keyAtMs + dialogue.idleMsMax() - clock.monotonicMs();
    chunk = idleMs > 0 ? await chunks.next(idleMs) : { kind: "idle" };
  }
}

/** The Enter that began the session: the banner's prompt is its answer. */
function isWakeUp(bytes: Uint8Array, first: Uint8Array): boolean {
  return bytes === first && (first[0] === 0x0d || first[0] === 0x0a);
}
