// What of a serial line reaches the terminal of who looks at it.
import { test } from "tap";
import { lineReader } from "./lines.ts";
import { screen } from "./screen.ts";

const ESC = "\u001B";

function shown(...pieces: readonly string[]): string {
  const { show } = screen();
  return pieces.map((piece) => show(Buffer.from(piece))).join("");
}

test("what a console prints and echoes is shown as it is", async (t) => {
  const said = "GW-1> statux\b \bs\r\n\u0007GW-1> é\t.\r\n";
  t.equal(shown(said), said);
});

test("cursor movements, colours, fonts, titles and resets are left out, in whatever pieces they come", async (t) => {
  const all = `${ESC}[1;37m${ESC}[=3hShell${ESC}[0m ${ESC}(B${ESC}[!p${ESC}]104${ESC}\\a${ESC}]0;title\u0007b${ESC}Pq#1${ESC}\\c${ESC}cd`;
  t.equal(shown(all), "Shell abcd");
  t.equal(shown(...all.split("")), "Shell abcd");
});

test("a cleared screen begins a new line and takes nothing away", async (t) => {
  t.equal(shown(`before${ESC}[2J${ESC}[01;01Hafter`), "before\r\nafter");
  t.equal(shown(`before\r\n${ESC}[2J${ESC}[01;01Hafter`), "before\r\nafter");
});

test("what would act on the terminal unseen is left out: C0, DEL, C1 and turned writing", async (t) => {
  t.equal(shown("a\u0000\u0005\u000E\u007F\u009B2J\u202Eb"), "a2Jb");
});

test("the line that has not ended is known, with what was rubbed out", async (t) => {
  const { show, unfinished } = screen();
  show(Buffer.from("hello\r\nGW-1> stx\b \batus"));
  t.equal(unfinished(), "GW-1> status");
  show(Buffer.from("\r\n"));
  t.equal(unfinished(), "");
});

test("a line left by who is gone is ended, also in the middle of a sequence", async (t) => {
  const { show, unfinished, forget } = screen();
  show(Buffer.from(`GW-1> ${ESC}[1`));
  t.equal(forget(), "\r\n");
  t.equal(unfinished(), "");
  t.equal(show(Buffer.from("2J")), "2J");
  show(Buffer.from("\n"));
  t.equal(forget(), "");
});

test("characters that come in pieces are one, and broken ones do no harm", async (t) => {
  const { show } = screen();
  t.equal(show(Buffer.from([0xc3])) + show(Buffer.from([0xa9, 0xff, 0x41])), "é\uFFFDA");
});

test("the kernel's line is read by lines: ended ones, not empty, without escapes, bounded", async (t) => {
  const read = lineReader();
  t.same(read(Buffer.from(`one\r\n\r\n${ESC}[0mtw`)), ["one"]);
  t.same(read(Buffer.from("o\r\nthree")), ["two"]);
  t.same(
    read(Buffer.from(`${"x".repeat(5000)}\n`)).map(({ length }) => length),
    [2000],
  );
});
