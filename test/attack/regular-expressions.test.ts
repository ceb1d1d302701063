// No regular expression of the programs does more than linear work on a text from outside. Steps of
// a matcher that backtracks as V8's does are counted, with texts that are made from each pattern.
import { test } from "tap";
import { patternsIn, superlinearText } from "../lab/runner/patterns.ts";
import { sources } from "../lab/runner/sources.ts";

const PROGRAMS = /^(?:agent|build\/release|hal|hub|ota|provisioning|warden)\//u;

test("the matcher tells patterns that are linear from those that are not", async (t) => {
  for (const pattern of [
    /^[a-z]+(?:[.-][a-z]+)+$/u,
    /^\d{1,3}-\d{1,3}(?:\.\d{1,3})*$/u,
    /^"(?:[^"\\]|\\.)*"$/u,
    /^(a|b)*c$/u,
    /\s+/gu,
  ])
    t.equal(superlinearText(pattern), undefined, String(pattern));
  for (const pattern of [
    /^(a+)+$/u,
    /^(?:a|a)*$/u,
    /^\s*version:\s*(\S+)/mu,
    /\s+$/u,
    /^a*a*$/u,
    /^[a-z]*[a-z0-9]*!$/u,
    /(\d+)-\1$/u,
  ])
    t.ok(superlinearText(pattern), String(pattern));
});

test("[STA-31] no regular expression in a program is super-linear", async (t) => {
  const seen = new Set<string>();
  for (const { path, text } of sources().filter((source) => PROGRAMS.test(source.path)))
    for (const pattern of patternsIn(text)) {
      if (seen.has(String(pattern))) continue;
      seen.add(String(pattern));
      const found = superlinearText(pattern);
      t.equal(found, undefined, `${path}: ${String(pattern)}`);
    }
  t.ok(seen.size > 100, `${seen.size} patterns were tried`);
});
