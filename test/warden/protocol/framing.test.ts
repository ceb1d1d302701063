// The framing: bytes to lines, bounded while they arrive.
import { test } from "tap";
import fc from "fast-check";
import { createLineSplitter } from "../../../warden/protocol/framing/format.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const texts = (lines: Iterable<Uint8Array>): string[] => [...lines].map((line) => Buffer.from(line).toString());

test("[OPS-1] lines come out whole, no matter how they were cut on the way", async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-z]{0,20}$/u), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 50 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const splitter = createLineSplitter(64);
        const got: string[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.byteLength]) {
          got.push(...texts(splitter.push(bytes.subarray(at, at + cut))));
          at += cut;
        }
        return JSON.stringify(got) === JSON.stringify(lines);
      },
    ),
  );
  t.pass();
});

test("[OPS-1] a line with its newline may fill the bound but not exceed it, and the lines before it come first", async (t) => {
  t.same(texts(createLineSplitter(8).push(Buffer.from("1234567\n"))), ["1234567"]);
  const splitter = createLineSplitter(8);
  const got: string[] = [];
  const fault = await faultOf(() => {
    for (const line of splitter.push(Buffer.from("ok\n12345678\n"))) got.push(Buffer.from(line).toString());
  });
  t.equal(fault.code, "protocol.too-large");
  t.same(got, ["ok"]);
});

test("[OPS-1] a line that never ends is refused as soon as it no longer fits, before its newline comes", async (t) => {
  const splitter = createLineSplitter(8);
  t.same(texts(splitter.push(Buffer.from("1234567"))), []);
  t.equal((await faultOf(() => texts(splitter.push(Buffer.from("8"))))).code, "protocol.too-large");
  const byBytes = createLineSplitter(1000);
  let pushed = 0;
  const fault = await faultOf(() => {
    for (;;) {
      texts(byBytes.push(Buffer.from("x")));
      pushed += 1;
    }
  });
  t.equal(fault.code, "protocol.too-large");
  t.equal(pushed, 999);
});

test("[OPS-1] a chunk that its reader reuses does not change the bytes that wait here", async (t) => {
  const splitter = createLineSplitter(64);
  const chunk = Buffer.from("half");
  texts(splitter.push(chunk));
  chunk.fill("X");
  t.same(texts(splitter.push(Buffer.from(" line\n"))), ["half line"]);
});
