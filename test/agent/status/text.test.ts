import fc from "fast-check";
import { test } from "tap";
import { plainJson, plainText } from "../../../agent/status/index.ts";

test("[CON-1] whatever comes from outside is printable ASCII afterwards, and not longer than allowed", async () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 2, max: 40 }), (text, max) => {
      const plain = plainText(text, max);
      return /^[\x20-\x7e]*$/u.test(plain) && plain.length <= max;
    }),
    { numRuns: 200 },
  );
});

test("[CON-1] what is plain stays as it is, a cut is marked", async (t) => {
  t.equal(plainText("a b~"), "a b~");
  t.equal(plainText("12345678", 8), "12345678");
  t.equal(plainText("123456789", 8), "123456..");
  t.equal(plainText("\u001b[31mred\u0007\r\n\u009b1m"), "?[31mred????1m");
});

test("[CON-1] JSON for a terminal is one line of ASCII with the same value", async (t) => {
  const value = { a: "\u001b[2J", b: "é\u009b\u2028", c: ["😀", 1, null] };
  t.match(plainJson(value), /^[\x20-\x7e]+$/u);
  t.same(JSON.parse(plainJson(value)), value);
});
