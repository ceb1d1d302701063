import { test } from "tap";
import { commentLines, proseLines } from "./comments.ts";

test("comments are found by line, and what only looks like one is not", async (t) => {
  const text = [
    'const a = "// no comment";',
    "const b = 1; // one",
    "/*",
    " * several",
    " */",
    "const c = `// no`;",
    "const d = /\\/\\/ no/u;",
  ].join("\n");
  t.same([...commentLines(text)], [2, 3, 4, 5]);
});

test("prose is what is neither code, nor table, nor a bare link", async (t) => {
  t.same(proseLines(["one", "```", "code", "```", "| a | b |", "<https://example.org/x>", "two"].join("\n")), [1, 7]);
});
