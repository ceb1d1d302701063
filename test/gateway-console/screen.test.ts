// Which output of a serial line reaches the user's terminal.
import { test } from "tap";
import { createLineReader } from "./lines.ts";
import { createScreen } from "./screen.ts";

const ESC = "\u001B";

function shown(...pieces: readonly string[]): string {
  const { show } = createScreen();
  return pieces.map((piece) => show(Buffer.from(piece))).join("");
}

test("what a console prints and echoes is shown unchanged", async (t) => {
  const said = "GW-1> statux\b \bs\r\n\u0007GW-1> é\t.\r\n";
  t.equal(shown(said), said);
});

test("cursor movements, colours, fonts, titles and resets are left out, in any pieces", async (t) => {
  const all = `${ESC}[1;37m${ESC}[=3hShell${ESC}[0m ${ESC}(B${ESC}[!p${ESC}]104${ESC}\\a${ESC}]0;title\u0007b${ESC}Pq#1${ESC}\\c${ESC}cd`;
  t.equal(shown(all), "Shell abcd");
  t.equal(shown(...all.split("")), "Shell abcd");
});

test("a cleared screen begins a new line and removes nothing", async (t) => {
  t.equal(shown(`before${ESC}[2J${ESC}[01;01Hafter`), "before\r\nafter");
  t.equal(shown(`before\r\n${ESC}[2J${ESC}[01;01Hafter`), "before\r\nafter");
});

test("invisible control characters are left out: C0, DEL, C1 and changes of direction", async (t) => {
  t.equal(shown("a\u0000\u0005\u000E\u007F\u009B2J\u202Eb"), "a2Jb");
});

test("the unfinished line is known, without what was erased", async (t) => {
  const { show, unfinished } = createScreen();
  show(Buffer.from("hello\r\nGW-1> stx\b \batus"));
  t.equal(unfinished(), "GW-1> status");
  show(Buffer.from("\r\n"));
  t.equal(unfinished(), "");
});

test("the line of a gateway that went off is ended, also in the middle of a sequence", async (t) => {
  const { show, unfinished, forget } = createScreen();
  show(Buffer.from(`GW-1> ${ESC}[1`));
  t.equal(forget(), "\r\n");
  t.equal(unfinished(), "");
  t.equal(show(Buffer.from("2J")), "2J");
  show(Buffer.from("\n"));
  t.equal(forget(), "");
});

test("a character that comes in pieces is one, and a broken one does no harm", async (t) => {
  const { show } = createScreen();
  t.equal(show(Buffer.from([0xc3])) + show(Buffer.from([0xa9, 0xff, 0x41])), "é\uFFFDA");
});

test("the log is read by lines: those that have ended, not empty, without escapes, bounded", async (t) => {
  const read = createLineReader();
  t.same(read(Buffer.from(`one\r\n\r\n${ESC}[0mtw`)), ["one"]);
  t.same(read(Buffer.from("o\r\nthree")), ["two"]);
  t.same(
    read(Buffer.from(`${"x".repeat(5000)}\n`)).map(({ length }) => length),
    [2000],
  );
});
