// Keys before and after Ctrl-]: which go to the gateway, and which to this program.
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

test("keys go to the line unchanged, Ctrl-C, arrows and characters beyond ASCII too", async (t) => {
  t.same(typed("status\r", "\u0003\u001B[A", "é").events, [type("status\r"), type("\u0003\u001B[A"), type("é")]);
});

test("a command between typed text keeps its place, also when it arrives in pieces", async (t) => {
  const quit: KeyEvent = { kind: "command", command: { does: "quit" } };
  t.same(typed(`a${ESCAPE}qb`).events, [type("a"), quit, type("b")]);
  t.same(typed(`a${ESCAPE}`, "q", "b").events, [type("a"), quit, type("b")]);
});

test("Ctrl or Shift held down means the letter; Ctrl-] twice is Ctrl-] itself", async (t) => {
  t.same(typed(`${ESCAPE}\u0011`).events, [{ kind: "command", command: { does: "quit" } }]);
  t.same(typed(`${ESCAPE}Q`).events, [{ kind: "command", command: { does: "quit" } }]);
  t.same(typed(`x${ESCAPE}${ESCAPE}y`).events, [type(`x${ESCAPE}y`)]);
});

test("a cut asks how: d drops, t tears, any other key leaves the power on", async (t) => {
  const question: KeyEvent = { kind: "question", text: CUT_QUESTION };
  t.same(typed(`${ESCAPE}cd`), {
    state: "line",
    events: [question, { kind: "command", command: { does: "cut", loss: "drop" } }],
  });
  t.same(typed(`${ESCAPE}ct`).events[1], { kind: "command", command: { does: "cut", loss: "tear" } });
  for (const other of ["\r", "c", "q", ESCAPE])
    t.same(typed(`${ESCAPE}c${other}z`).events, [question, { kind: "question", text: "the power stays on" }, type("z")], other);
});

test("an unknown key is reported and does not reach the line", async (t) => {
  t.same(typed(`${ESCAPE}x\r`).events, [{ kind: "unknown", key: "x" }, type("\r")]);
  t.same(typed(`${ESCAPE}\u0000`).events, [{ kind: "unknown", key: "" }]);
});

test("the help names every key that does something, and no other key", async (t) => {
  for (let code = 0x21; code < 0x7f; code += 1) {
    const key = String.fromCharCode(code);
    const [event] = typed(`${ESCAPE}${key}`).events;
    const does = event?.kind === "command" || event?.kind === "question";
    if (key === key.toLowerCase()) t.equal(`\n${KEYS_HELP}`.includes(`  ${key}  `), does, key);
  }
});
