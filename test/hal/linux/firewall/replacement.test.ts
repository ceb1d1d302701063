// The transaction that replaces our table, as several lines and as one.
import * as fc from "fast-check";
import { test } from "tap";
import { replacementLine, replacementOf } from "../../../../hal/linux/firewall/replacement.ts";

const table = (...lines: readonly string[]): string =>
  `table inet sallyport {\n${lines.map((line) => (line === "" ? "\n" : `\t${line}\n`)).join("")}}\n`;
const CHAIN = ["chain input {", "\ttype filter hook input priority filter; policy drop;", '\tiifname "eth0" accept', "}"];

test("[LCK-25] one line is the same transaction: line ends become semicolons, and nothing else is between words", (t) => {
  t.equal(
    replacementLine(table("set a {", "\ttype ipv4_addr", "}", "", ...CHAIN)),
    "table inet sallyport {};delete table inet sallyport;table inet sallyport {;set a {;type ipv4_addr;};" +
      'chain input {;type filter hook input priority filter; policy drop;;iifname "eth0" accept;};}\n',
  );
  t.end();
});

test("[LCK-25] what a line editor or the scanner could take for something else goes by a file: no line is made of it", (t) => {
  for (const [what, rule] of Object.entries({
    "a comment, which would reach to the end of the line": 'iifname "eth0" accept # why',
    "a number sign in a name": 'iifname "eth#0" accept',
    "a backslash": 'iifname "eth\\\\0" accept',
    "a name that is not ASCII": 'iifname "größe" accept',
    "a byte that is a key of the line editor": 'iifname "eth\u0012" accept',
    "a carriage return": 'iifname "eth0" accept\r',
    "a line separator of Unicode": 'iifname "eth\u2028" accept',
  })) {
    const given = table("chain input {", `\t${rule}`, "}");
    t.equal(replacementLine(given), undefined, what);
    t.ok(replacementOf(given).endsWith(given));
  }
  const elements = (count: number): string => table("set a {", `\telements = { ${"192.0.2.1, ".repeat(count)}192.0.2.2 }`, "}");
  t.ok(replacementLine(elements(5000)));
  t.equal(replacementLine(elements(6000)), undefined, "a line that is too long");
  t.end();
});

test("[LCK-5] only our table makes a transaction, on one line or on several", (t) => {
  for (const other of ["", "table inet other {\n}\n", `${table(...CHAIN)}flush ruleset\n`, `flush ruleset\n${table(...CHAIN)}`]) {
    t.throws(() => replacementLine(other), { code: "assert.broken" });
    t.throws(() => replacementOf(other), { code: "assert.broken" });
  }
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (lines) => {
      const line = replacementLine(table(...lines.map((text) => text.replaceAll("\n", " "))));
      return line === undefined || /^table inet sallyport \{\};delete table inet sallyport;[ -~]+\n$/u.test(line);
    }),
    { numRuns: 300 },
  );
  t.end();
});
