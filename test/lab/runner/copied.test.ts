// The counter itself: it tells work that is linear in the input from work that is not.
import { test } from "tap";
import { CopyCounter } from "./copied.ts";

const SIZE = 4096;

test("copying that is linear in the input counts a small multiple of it, and quadratic copying its square", async (t) => {
  const copies = new CopyCounter();
  const bytes = Buffer.alloc(SIZE, "a");
  const of = async (work: () => unknown): Promise<number> => (await copies.during(work)) / SIZE;
  const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte));
  t.ok((await of(() => Buffer.concat(pieces))) < 4, "pieces that are joined once");
  t.ok((await of(() => pieces.reduce<Uint8Array>((all, piece) => Buffer.concat([all, piece]), Buffer.alloc(0)))) > SIZE / 4);
  const growing = (): void => {
    let text = "";
    for (const byte of bytes) {
      text += String.fromCharCode(byte);
      text.includes("\r\n\r\n");
    }
  };
  t.ok((await of(growing)) > SIZE / 4, "a text that is searched again with each character");
  t.ok((await of(() => pieces.filter((piece, at) => pieces.indexOf(piece) === at))) > SIZE / 4, "a search for each item");
  t.ok((await of(() => pieces.reduce<Uint8Array[]>((all, piece) => [...all, piece], []))) > SIZE / 4, "a list that is copied");
});

test("a search counts what it walked over, and a view of memory nothing", async (t) => {
  const copies = new CopyCounter();
  const lines = Buffer.from("a\n".repeat(SIZE / 2));
  const split = (): void => {
    for (let end = lines.indexOf(10); end >= 0; end = lines.indexOf(10, end + 1)) lines.subarray(0, end);
  };
  t.ok((await copies.during(split)) <= SIZE);
  t.ok((await copies.during(() => [...lines.toString().matchAll(/a\n/gu)])) <= 4 * SIZE);
  t.equal(await copies.during(() => Buffer.from(lines.buffer, lines.byteOffset, 8)), 0);
});

test("what is parsed counts although it is refused", async (t) => {
  const copies = new CopyCounter();
  t.ok((await copies.during(() => JSON.parse("[".repeat(SIZE)))) >= SIZE);
});
