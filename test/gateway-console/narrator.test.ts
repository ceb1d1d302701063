// Our own words between a serial line's.
import { test } from "tap";
import { createTeller } from "./narrator.ts";

function told(isTTY: boolean): { readonly teller: ReturnType<typeof createTeller>; readonly text: () => string; atMs: number } {
  const lab = { atMs: 0, written: "" };
  const teller = createTeller({ isTTY, write: (text: string) => (lab.written += text) }, () => lab.atMs);
  return {
    teller,
    text: () => lab.written.replaceAll(/\u001B\[\d+m/gu, ""),
    set atMs(ms: number) {
      lab.atMs = ms;
    },
  };
}

test("steps come with the seconds since the count began", async (t) => {
  const lab = told(false);
  lab.atMs = 12_900;
  lab.teller.step("reached");
  lab.teller.restart();
  lab.teller.step("again");
  t.equal(lab.text(), "  12 s  reached\n   0 s  again\n");
});

test("between what a serial line says, the line that has not ended is written again below", async (t) => {
  const { teller, text } = told(true);
  teller.serial("GW-1> sta", "GW-1> sta");
  teller.plain("-- one\ntwo --");
  teller.serial("tus\r\n", "");
  teller.plain("-- three --");
  t.equal(text(), "GW-1> sta\r\n-- one\r\ntwo --\r\nGW-1> status\r\n-- three --\r\n");
});

test("a pipe gets lines that end as lines of files do", async (t) => {
  const { teller, text } = told(false);
  teller.serial("GW-1> status\r\nCONNECTED\r\nGW-1> ", "GW-1> ");
  teller.plain("-- one --");
  t.equal(text(), "GW-1> status\nCONNECTED\nGW-1> \n-- one --\nGW-1> ");
});

test("muted, it says nothing more", async (t) => {
  const { teller, text } = told(true);
  teller.mute();
  teller.step("kernel runs");
  teller.plain("off");
  teller.serial("GW-1> ", "GW-1> ");
  t.equal(text(), "");
});

test("a terminal sees what is waited for, below the steps; a pipe does not", async (t) => {
  const { teller, text } = told(true);
  teller.waiting("the agent");
  teller.step("kernel runs");
  teller.waiting(undefined);
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
  const piped = told(false);
  piped.teller.waiting("the agent");
  piped.teller.waiting(undefined);
  t.equal(piped.text(), "");
});
