// Text from outside in records and on screens: well-formed, bounded, and harmless to a terminal.
import fc from "fast-check";
import { test } from "tap";
import { canonicalJson } from "../../../hal/format/json.ts";
import { clip, printable, quoted, singleLine } from "../../../hal/format/text.ts";

const HIGH = "\ud83d";
const LOW = "\ude00";

test("a text is never cut in the middle of a surrogate pair", async (t) => {
  const text = `ab${HIGH}${LOW}cd`;
  const clipped = ["", "a", "ab", "ab", `ab${HIGH}${LOW}`, `ab${HIGH}${LOW}c`, text, text];
  for (const [unitsMax, expected] of clipped.entries()) t.equal(clip(text, unitsMax), expected, `at ${unitsMax}`);
});

test("two pairs in a row are cut between the pairs", async (t) => {
  const text = `${HIGH}${LOW}${HIGH}${LOW}`;
  t.same(
    [0, 1, 2, 3, 4, 5].map((unitsMax) => clip(text, unitsMax).length),
    [0, 0, 2, 2, 4, 4],
  );
});

test("a lone surrogate becomes U+FFFD, before the cut and without one", async (t) => {
  t.equal(clip(`a${HIGH}b`, 10), "a\ufffdb");
  t.equal(clip(`a${LOW}b`, 10), "a\ufffdb");
  t.equal(clip(`${LOW}${HIGH}`, 2), "\ufffd\ufffd");
  t.equal(clip(`a${LOW}bcd`, 3), "a\ufffdb");
  t.equal(clip(`a${HIGH}bcd`, 2), "a", "a high surrogate at the cut is dropped");
});

const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

const UNPRINTABLE: Readonly<Record<string, readonly number[]>> = {
  "C0 controls": range(0x00, 0x1f),
  "DEL and C1 controls": range(0x7f, 0x9f),
  "bidirectional embeddings and overrides": range(0x202a, 0x202e),
  "bidirectional isolates": range(0x2066, 0x2069),
  "bidirectional marks": [0x061c, 0x200e, 0x200f],
  "zero-width characters": [0x200b, 0x200c, 0x200d, 0x2060, 0xfeff],
  "soft hyphen": [0x00ad],
  "line and paragraph separators": [0x2028, 0x2029],
  "private use": [0xe000, 0xf8ff, 0xf0000, 0x10fffd],
  "tag characters": [0xe0001, 0xe0041, 0xe007f],
  "unassigned code points and noncharacters": [0x0378, 0xfdd0, 0xfffe, 0xffff, 0x1ffff],
};

for (const [name, points] of Object.entries(UNPRINTABLE))
  test(`printable replaces each code point by one question mark: ${name}`, async (t) => {
    for (const point of points) t.equal(printable(`a${String.fromCodePoint(point)}b`, 10), "a?b", `U+${point.toString(16)}`);
  });

test("printable leaves letters of any script, combining marks, spaces and symbols", async (t) => {
  for (const text of ["Grüße, world", "日本語", "e\u0301", "עברית", "\u00a0", "50 € ✓", "😀", "❤"])
    t.equal(printable(text, 100), text);
});

test("what shows nothing by itself is replaced, because it hides a difference between two names", async (t) => {
  for (const hidden of ["\ufe0f", "\u{e0101}", "\u034f", "\u115f", "\u3164", "\uffa0", "\u180b", "\u17b4", "\u2800"])
    t.equal(printable(`a${hidden}b`, 100), "a?b");
});

test("a joined emoji reads as its parts, because the joiner can also hide a difference between two names", async (t) => {
  t.equal(printable("👩\u200d💻", 10), "👩?💻");
});

test("an escape sequence becomes text that a terminal cannot act on", async (t) => {
  t.equal(printable("\u001b[2J\u001b]0;title\u0007", 100), "?[2J?]0;title?");
});

test("a program's output becomes one line", async (t) => {
  t.equal(singleLine("\n Error:\u001b[31m no\tsuch\r\nfile \n", 100), "Error: [31m no such file");
  t.equal(singleLine("a\u202eb c", 3), "a?b");
  t.equal(singleLine(" \n\t", 10), "");
});

test("a quotation has only its own double quotes, and shows when the text was longer", async (t) => {
  t.equal(quoted("plain"), '"plain"');
  t.equal(quoted(""), '""');
  t.equal(quoted('say "hi"'), `"say 'hi'"`);
  t.equal(quoted("line\nbreak"), '"line?break"');
  t.equal(quoted("abcdef", 6), '"abcdef"');
  t.equal(quoted("abcdefg", 6), '"abcdef..."');
  t.equal(quoted("a".repeat(65)), `"${"a".repeat(64)}..."`);
});

test("for any text and length the results are well-formed, bounded, and can be recorded", async (t) => {
  const anyText = fc.oneof(fc.string({ unit: "binary", maxLength: 40 }), units());
  fc.assert(
    fc.property(anyText, fc.integer({ min: 0, max: 45 }), (text, unitsMax) => {
      const clipped = clip(text, unitsMax);
      const shown = printable(text, unitsMax);
      const quotation = quoted(text, unitsMax);
      t.ok(clipped.length <= unitsMax && clipped.isWellFormed());
      t.ok(text.toWellFormed().startsWith(clipped) || clipped === "", "the beginning of the text");
      t.ok(clipped.length >= Math.min(text.length, unitsMax) - 1, "at most half a pair is lost");
      t.ok(shown.length <= clipped.length && shown.isWellFormed());
      t.equal(printable(shown, unitsMax), shown, "printable text stays as it is");
      t.ok(quotation.length <= unitsMax + '"..."'.length && quotation.isWellFormed());
      for (const recorded of [clipped, shown, quotation]) t.doesNotThrow(() => canonicalJson(recorded));
    }),
  );
});

/**
 * Any sequence of UTF-16 code units, most of them surrogates: what a hostile JSON text can hold.
 */
function units(): fc.Arbitrary<string> {
  const unit = fc.oneof(fc.integer({ min: 0xd800, max: 0xdfff }), fc.integer({ min: 0, max: 0xffff }));
  return fc.array(unit, { maxLength: 40 }).map((codes) => String.fromCharCode(...codes));
}
