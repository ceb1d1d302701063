// Ctrl-] and what follows it: which keys are the gateway's, which are ours.
import { test } from "tap";
import { CUT_QUESTION, type KeyEvent, type KeyState, KEYS_HELP, readKeys } from "./keys.ts";

const ESCAPE = "\u001D";

function typed(...chunks: readonly string[]): { readonly state: KeyState; readonly events: readonly KeyEvent[] } {
  let state: KeyState = "line";
  const events: KeyEvent[] = [];
  for (const chunk of chunks) {
    const read = readKeys(state, Buffer.from(chunk));
    state = read.state;
    events.push(...read.events);
  }
  return { state, events };
}

const type = (text: string): KeyEvent => ({ kind: "type", bytes: Buffer.from(text) });

test("what is typed goes to the line as it is, Ctrl-C, arrows and what is not ASCII too", async (t) => {
  t.same(typed("status\r", "\u0003\u001B[A", "é").events, [type("status\r"), type("\u0003\u001B[A"), type("é")]);
});

test("a command between typed text keeps its place, also in pieces", async (t) => {
  const quit: KeyEvent = { kind: "command", command: { does: "quit" } };
  t.same(typed(`a${ESCAPE}qb`).events, [type("a"), quit, type("b")]);
  t.same(typed(`a${ESCAPE}`, "q", "b").events, [type("a"), quit, type("b")]);
});

test("who still holds Ctrl or Shift means the letter; Ctrl-] twice is Ctrl-] itself", async (t) => {
  t.same(typed(`${ESCAPE}\u0011`).events, [{ kind: "command", command: { does: "quit" } }]);
  t.same(typed(`${ESCAPE}Q`).events, [{ kind: "command", command: { does: "quit" } }]);
  t.same(typed(`x${ESCAPE}${ESCAPE}y`).events, [type(`x${ESCAPE}y`)]);
});

test("a cut is asked for: drop, tear, or any other key leaves the power on", async (t) => {
  const question: KeyEvent = { kind: "question", text: CUT_QUESTION };
  t.same(typed(`${ESCAPE}cd`), {
    state: "line",
    events: [question, { kind: "command", command: { does: "cut", loss: "drop" } }],
  });
  t.same(typed(`${ESCAPE}ct`).events[1], { kind: "command", command: { does: "cut", loss: "tear" } });
  for (const other of ["\r", "c", "q", ESCAPE])
    t.same(typed(`${ESCAPE}c${other}z`).events, [question, { kind: "question", text: "left on" }, type("z")], other);
});

test("a key that is none is told and nothing of it reaches the line", async (t) => {
  t.same(typed(`${ESCAPE}x\r`).events, [{ kind: "unknown", key: "x" }, type("\r")]);
  t.same(typed(`${ESCAPE}\u0000`).events, [{ kind: "unknown", key: "" }]);
});

test("the help names every key that does something, and no other", async (t) => {
  for (let code = 0x21; code < 0x7f; code += 1) {
    const key = String.fromCharCode(code);
    const [event] = typed(`${ESCAPE}${key}`).events;
    const does = event?.kind === "command" || event?.kind === "question";
    if (key === key.toLowerCase()) t.equal(`\n${KEYS_HELP}`.includes(`  ${key}  `), does, key);
  }
});
