// One console session: from the first key to the logout, the hang-up or the idle timeout.
// [CON-1] [CON-3] [CON-4] [CON-10]
import { randomBytes } from "node:crypto";
import { createDialogue, type Dialogue } from "./dialogue.ts";
import { ROSTER_CHECK_MS } from "./limits.ts";
import { EMPTY_LINE, readBytes } from "./line.ts";
import type { ConsoleSessionOptions } from "./options.ts";
import { bannerText, idleText } from "./screen.ts";
import type { TimedRead } from "./timed-reader.ts";

export type SessionEnd = "hang-up" | "idle" | "logout" | "roster";

/**
 * Serves the session that begins with the bytes `first`. Commands run one after the other; bytes
 * that arrive meanwhile wait in the bounded buffer of the line. The login ends with the session,
 * however the session ends.
 * @returns why it ended.
 * @throws Fault `serial.closed` when the line hangs up during output.
 */
export async function serveSession(options: ConsoleSessionOptions, first: Uint8Array): Promise<SessionEnd> {
  const session = `console-${randomBytes(4).toString("hex")}`;
  const dialogue = createDialogue(options, session);
  await options.record({ event: "console.opened", result: "ok", principal: "console", correlation: session });
  let end: SessionEnd = "hang-up";
  try {
    await options.print(`${bannerText(options.host(), options.alarm?.())}${dialogue.prompt()}`);
    end = await converse(options, dialogue, first);
    if (end === "idle") await options.print(idleText(dialogue.idleMsMax(), dialogue.login()));
    return end;
  } finally {
    const principal = dialogue.login()?.id ?? "console";
    await options.record({ event: "console.closed", result: "ok", principal, correlation: session, detail: { reason: end } });
  }
}

async function converse({ reader, clock }: ConsoleSessionOptions, dialogue: Dialogue, first: Uint8Array): Promise<SessionEnd> {
  let line = EMPTY_LINE;
  let read: TimedRead = { kind: "bytes", bytes: first };
  let keyAtMs = clock.monotonicMs();
  const roster = { checkedAtMs: keyAtMs };
  for (;;) {
    if (read.kind === "end") return "hang-up";
    if (read.kind === "idle") return "idle";
    const { state, events } = readBytes(line, read.bytes);
    line = state;
    for (const event of isWakeUp(read.bytes, first) ? events.slice(1) : events) {
      await dialogue.take(event);
      // Input that came in one piece with the logout belongs to no session and is dropped.
      if (dialogue.isOver()) return (await dialogue.checkRoster()) ? "roster" : "logout";
    }
    // Only keys count: noise on a floating line must not keep anybody logged in.
    if (events.length > 0) keyAtMs = clock.monotonicMs();
    const next = await nextRead(reader, clock, dialogue, keyAtMs, roster);
    if (next === "roster") return next;
    read = next;
  }
}

/**
 * [CON-12] The next bytes. A login is compared with the roster every two seconds, also while keys
 * come all the time, and after a command that took longer.
 */
async function nextRead(
  reader: ConsoleSessionOptions["reader"],
  clock: ConsoleSessionOptions["clock"],
  dialogue: Dialogue,
  keyAtMs: number,
  roster: { checkedAtMs: number },
): Promise<TimedRead | "roster"> {
  for (;;) {
    const nowMs = clock.monotonicMs();
    const idleMs = keyAtMs + dialogue.idleMsMax() - nowMs;
    if (idleMs <= 0) return { kind: "idle" };
    if (dialogue.login() === undefined) return reader.next(idleMs);
    const checkMs = roster.checkedAtMs + ROSTER_CHECK_MS - nowMs;
    if (checkMs <= 0) {
      roster.checkedAtMs = nowMs;
      if (await dialogue.checkRoster()) return "roster";
      continue;
    }
    const read = await reader.next(Math.min(idleMs, checkMs));
    if (read.kind !== "idle") return read;
  }
}

/** The Enter key that began the session: the prompt below the banner answers it. */
function isWakeUp(bytes: Uint8Array, first: Uint8Array): boolean {
  return bytes === first && (first[0] === 0x0d || first[0] === 0x0a);
}
