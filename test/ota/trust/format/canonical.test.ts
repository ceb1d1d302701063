import fc from "fast-check";
import { test } from "tap";
import { canonicalBytes } from "../../../../ota/trust/format/index.ts";

const text = (value: unknown): string => Buffer.from(canonicalBytes(value)).toString();

test("[OTA-2] canonical JSON of TUF: sorted by code point, only quotes and backslashes escaped, no white space", async (t) => {
  t.equal(text({ y: 2, x: [3, true, null, false] }), '{"x":[3,true,null,false],"y":2}');
  t.equal(text('a"b\\c\nd\u0001é'), '"a\\"b\\\\c\nd\u0001é"');
  t.equal(
    text({ "\u{1f600}": 1, "\uffff": 2 }),
    '{"\uffff":2,"\u{1f600}":1}',
    "U+FFFF sorts before U+1F600, which UTF-16 orders the other way",
  );
  t.equal(text([]), "[]");
  t.equal(text({}), "{}");
  t.equal(text(-0), "0");
  t.equal(text(JSON.parse('{"__proto__":1,"constructor":2}')), '{"__proto__":1,"constructor":2}');
});

test("[OTA-2] a value without a canonical form is refused", async (t) => {
  for (const value of [1.5, 1e300, Number.NaN, 2 ** 53, "\ud800", { "\udc00": 1 }, undefined, [undefined]])
    t.throws(() => canonicalBytes(value), { code: "trust.invalid" });
});

test("[OTA-2] the order of members and white space in the JSON never matter", async () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: "binary" }), fc.oneof(fc.maxSafeInteger(), fc.string({ unit: "binary" }), fc.boolean())),
      (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        return text(value) === text(turned) && text(JSON.parse(JSON.stringify(value, undefined, 2))) === text(value);
      },
    ),
  );
});
