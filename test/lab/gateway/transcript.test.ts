// Waiting for text on a serial line: what a wait sees, what it skips, how it ends.
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { createTranscript } from "./transcript.ts";

test("a wait begins where the one before it ended, and finds past and future text", async (t) => {
  const line = createTranscript();
  line.add(Buffer.from("ready\r\nready\r\nrest"));
  await line.waitFor(/ready/u, 1000);
  await line.waitFor(/ready/u, 1000);
  const third = line.waitFor(/rea(dy)/u, 10_000);
  t.equal(line.read(), "\nrest");
  line.add(Buffer.from("rea"));
  line.add(Buffer.from("dy"));
  t.equal((await third)[1], "dy");
});

test("escape sequences are left out, also those that arrive in pieces", async (t) => {
  const line = createTranscript();
  for (const piece of ["\u001B[2J\u001B[0", "1;37mSh", "ell\u001B", "[0m> \u001B(", "B"]) line.add(Buffer.from(piece));
  t.equal(line.read(), "Shell> ");
});

test("a wait rejects when the machine has ended; after the next power-on old text no longer counts", async (t) => {
  const line = createTranscript();
  const waiting = line.waitFor(/never/u, 10_000);
  line.add(Buffer.from("login"));
  line.end(new Fault("process.failed", "the power was cut"));
  await t.rejects(waiting, { code: "process.failed" });
  await t.rejects(line.waitFor(/never/u, 10_000), { code: "process.failed" });
  line.mark("power on 2");
  await t.rejects(line.waitFor(/login/u, 1), { code: "process.timeout", message: /its end:\nlogin/u });
  t.match(line.all(), /login\n-- power on 2 --/u);
});

test("only the newest million characters are kept", async (t) => {
  const line = createTranscript();
  for (let at = 0; at < 20; at += 1) line.add(Buffer.alloc(65_536, `${at % 10}`));
  t.equal(line.all().length, 1024 * 1024);
  t.equal(line.read().length, 1024 * 1024);
});
