import fc from "fast-check";
import { test } from "tap";
import { serialJson, serialText, wrapText } from "../../../agent/status/index.ts";

test("[CON-11] serialText gives printable ASCII that is not longer than allowed, for every input", async () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 2, max: 40 }), (text, max) => {
      const ascii = serialText(text, max);
      return /^[\x20-\x7e]*$/u.test(ascii) && ascii.length <= max;
    }),
    { numRuns: 200 },
  );
});

test("[CON-11] serialText keeps printable ASCII, and marks a cut", async (t) => {
  t.equal(serialText("a b~"), "a b~");
  t.equal(serialText("12345678", 8), "12345678");
  t.equal(serialText("123456789", 8), "123456..");
  t.equal(serialText("\u001b[31mred\u0007\r\n\u009b1m"), "?[31mred????1m");
});

test("[CON-11] serialJson gives one line of ASCII with the same value", async (t) => {
  const value = { a: "\u001b[2J", b: "é\u009b\u2028", c: ["😀", 1, null] };
  t.match(serialJson(value), /^[\x20-\x7e]+$/u);
  t.same(JSON.parse(serialJson(value)), value);
});

test("wrapText keeps the words, in pieces of at most so many columns, each but the first indented", async (t) => {
  t.same(wrapText("policy  one two", 12, 8), ["policy  one", "        two"]);
  t.same(wrapText("abcdef", 4, 1), ["abcd", " ef"], "a word that is too long is cut");
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 300 }), (line) => {
      const pieces = wrapText(line, 20, 3);
      const sameText = pieces.join("").replaceAll(" ", "") === line.replaceAll(" ", "");
      return sameText && pieces.every((piece, n) => piece.length <= 20 && (n === 0 || piece.startsWith("   ")));
    }),
  );
});
