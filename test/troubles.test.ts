// The troubles of the status and their description: whoever reads a code finds what to do.
import { readFileSync } from "node:fs";
import { test } from "tap";
import { FAULT_CODES } from "../hal/fault.ts";

/** Never in the status of a device: of the hub, of tools, or answers to somebody's request. */
const ELSEWHERE = [/^(?:hub|release|usage|operation|order|message)\./u, /^update\.(?:busy|not-waiting)$/u];

interface Row {
  readonly codes: readonly string[];
  readonly means: string;
  readonly remedy: string;
}

function rows(): readonly Row[] {
  const text = readFileSync("docs/operations.md", "utf8");
  const from = text.indexOf("\n## When something is wrong\n");
  return text
    .slice(from, text.indexOf("\n## ", from + 1))
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [, codes = "", means = "", remedy = ""] = line.split(/(?<!\\)\|/u).map((cell) => cell.trim());
      return { codes: [...codes.matchAll(/`([^`]+)`/gu)].map(([, code = ""]) => code), means, remedy };
    });
}

test("[TUN-74] every trouble that the status can show is in docs/operations.md, with what to do", async (t) => {
  const named = rows().flatMap(({ codes }) => codes);
  const isNamed = (code: string): boolean => named.includes(code) || named.includes(`${code.split(".")[0]}.*`);
  const shown = FAULT_CODES.filter((code) => !ELSEWHERE.some((pattern) => pattern.test(code)));
  t.same(
    shown.filter((code) => !isNamed(code)),
    [],
  );
  t.same(
    rows()
      .filter(({ means, remedy }) => means === "" || remedy === "")
      .map(({ codes }) => codes),
    [],
  );
  const known: readonly string[] = FAULT_CODES;
  const isKnown = (code: string): boolean => known.some((one) => one === code || code === `${one.split(".")[0]}.*`);
  t.same(
    named.filter((code) => /^[a-z0-9]+\.[a-z*]/u.test(code) && !isKnown(code)),
    [],
    "and no code that there is not",
  );
  const twice = named.filter((code, at) => named.indexOf(code) !== at);
  t.same(
    twice.filter((code) => known.includes(code)),
    [],
    "each once",
  );
});
