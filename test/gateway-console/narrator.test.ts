// The program's own lines between those of a serial line.
import { test } from "tap";
import { createNarrator } from "./narrator.ts";

function recorded(isTTY: boolean): {
  readonly narrator: ReturnType<typeof createNarrator>;
  readonly text: () => string;
  atMs: number;
} {
  const lab = { atMs: 0, written: "" };
  const narrator = createNarrator({ isTTY, write: (text: string) => (lab.written += text) }, () => lab.atMs);
  return {
    narrator,
    text: () => lab.written.replaceAll(/\u001B\[\d+m/gu, ""),
    set atMs(ms: number) {
      lab.atMs = ms;
    },
  };
}

test("a step is printed with the seconds since the count began", async (t) => {
  const lab = recorded(false);
  lab.atMs = 12_900;
  lab.narrator.step("reached");
  lab.narrator.restart();
  lab.narrator.step("again");
  t.equal(lab.text(), "  12 s  reached\n   0 s  again\n");
});

test("between the lines of a serial line, the unfinished line is written again below", async (t) => {
  const { narrator, text } = recorded(true);
  narrator.serial("GW-1> sta", "GW-1> sta");
  narrator.plain("-- one\ntwo --");
  narrator.serial("tus\r\n", "");
  narrator.plain("-- three --");
  t.equal(text(), "GW-1> sta\r\n-- one\r\ntwo --\r\nGW-1> status\r\n-- three --\r\n");
});

test("a pipe gets lines that end with a newline alone", async (t) => {
  const { narrator, text } = recorded(false);
  narrator.serial("GW-1> status\r\nCONNECTED\r\nGW-1> ", "GW-1> ");
  narrator.plain("-- one --");
  t.equal(text(), "GW-1> status\nCONNECTED\nGW-1> \n-- one --\nGW-1> ");
});

test("once it is muted, nothing is printed", async (t) => {
  const { narrator, text } = recorded(true);
  narrator.mute();
  narrator.step("kernel runs");
  narrator.plain("off");
  narrator.serial("GW-1> ", "GW-1> ");
  t.equal(text(), "");
});

test("a terminal shows what is awaited below the steps; a pipe does not", async (t) => {
  const { narrator, text } = recorded(true);
  narrator.waiting("the agent");
  narrator.step("kernel runs");
  narrator.waiting(undefined);
  t.equal(
    text(),
    [
      "\r\u001B[K",
      "   0 s  ... the agent",
      "\r\u001B[K",
      "   0 s  kernel runs\r\n",
      "\r\u001B[K",
      "   0 s  ... the agent",
      "\r\u001B[K",
    ].join(""),
  );
  const piped = recorded(false);
  piped.narrator.waiting("the agent");
  piped.narrator.waiting(undefined);
  t.equal(piped.text(), "");
});
