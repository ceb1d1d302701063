import fc from "fast-check";
import { test } from "tap";
import { EMPTY_LINE, type LineEvent, readBytes } from "../../../agent/console/line.ts";

const read = (...chunks: readonly string[]): readonly LineEvent[] => {
  const events: LineEvent[] = [];
  let state = EMPTY_LINE;
  for (const chunk of chunks) {
    const step = readBytes(state, Buffer.from(chunk, "latin1"));
    state = step.state;
    events.push(...step.events);
  }
  return events;
};
const lines = (...chunks: readonly string[]) => read(...chunks).flatMap((event) => (event.kind === "line" ? [event.text] : []));

test("[CON-1] CR, LF and CR LF each end one line, even when CR LF arrives in two pieces", async (t) => {
  t.same(lines("a\rb\nc\r\nd\r", "\ne\n\nf\r\r"), ["a", "b", "c", "d", "e", "", "f", ""]);
});

test("[CON-1] a line of 256 bytes is accepted, one of 257 is refused with one bell, and the next is read as usual", async (t) => {
  t.same(lines(`${"x".repeat(256)}\r`), ["x".repeat(256)]);
  const events = read(`${"x".repeat(257)}\rstatus\r`);
  t.same(events.slice(-3), [{ kind: "too-long" }, { kind: "echo", text: "status" }, { kind: "line", text: "status" }]);
  t.equal(
    events
      .flatMap((event) => (event.kind === "echo" ? [event.text] : []))
      .join("")
      .split("\u0007").length - 1,
    1,
  );
});

test("[CON-1] a line that never ends costs one line of memory and no echo", async (t) => {
  let state = EMPTY_LINE;
  for (let round = 0; round < 100; round += 1) {
    const step = readBytes(state, Buffer.alloc(4096, "z"));
    state = step.state;
    if (round > 0) t.same(step.events, []);
    t.ok(state.text.length <= 256);
  }
});

test("backspace and delete erase one character, and do nothing on an empty line", async (t) => {
  t.same(lines("\b\u007fstax\btuss\u007f\r"), ["status"]);
  t.same(read("\b\u007f"), []);
  t.same(read("a\b"), [{ kind: "echo", text: "a\b \b" }]);
});

test("^C drops the line, ^U clears it, ^L prints it again", async (t) => {
  t.same(lines("rubbish\u0003status\r"), ["status"]);
  t.same(lines("rubbish\u0015status\r"), ["status"]);
  t.match(read("sta\u000c"), [
    { kind: "echo", text: "sta" },
    { kind: "redraw", text: "sta" },
  ]);
  t.same(lines(`${"x".repeat(300)}\u0003a\r${"x".repeat(300)}\u0015b\r`), ["a", "b"], "they also end a line that is too long");
});

test("escape sequences of arrow and function keys are neither text nor echoed, and hide no line end", async (t) => {
  t.same(lines("sta\u001b[Atus\u001b[1;5D\u001bOP\u001b[3~\r"), ["status"]);
  t.same(lines("a\u001b[\rb\u001b\rc\u001b[999\u0003d\r"), ["a", "b", "d"]);
});

test("bytes that are not ASCII become ?, so that no command runs with them left out", async (t) => {
  t.same(lines("stat\u00e9us\u0080\u00ff\r"), ["stat?us??"]);
});

test("[CON-1] for all bytes in all pieces, lines have at most 256 printable characters, echoes are harmless, and the pieces do not matter", async () => {
  const bytes = fc.array(
    fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 0, max: 255 }) }, fc.constantFrom(13, 10, 27, 91, 8, 3, 21)),
    { maxLength: 800 },
  );
  const text = (events: readonly LineEvent[]) =>
    events.map((event) => `${event.kind === "echo" ? "" : event.kind} ${"text" in event ? event.text : ""}`).join("");
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 50 }), (bytes, step) => {
      const whole = read(Buffer.from(bytes).toString("latin1"));
      const cut = read(
        ...Array.from({ length: Math.ceil(bytes.length / step) }, (_, n) =>
          Buffer.from(bytes.slice(n * step, (n + 1) * step)).toString("latin1"),
        ),
      );
      const harmless = whole.every((event) => !("text" in event) || /^(?:[\x20-\x7e\u0007]|\x08 \x08)*$/u.test(event.text));
      const bounded = whole.every((event) => event.kind !== "line" || event.text.length <= 256);
      return harmless && bounded && text(whole).replaceAll(" ", "") === text(cut).replaceAll(" ", "");
    }),
    { numRuns: 300 },
  );
});
