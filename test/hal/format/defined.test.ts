import { test } from "tap";
import { defined } from "../../../hal/format/defined.ts";

function optional<T>(value: T | undefined): T | undefined {
  return value;
}

test("members that are undefined are left out, all others stay, null and falsy values too", async (t) => {
  const shown: { readonly a: number; readonly b?: string; readonly c?: number } = defined({
    a: 1,
    b: optional<string>(undefined),
    c: optional(0),
  });
  t.same(Object.entries(shown), [
    ["a", 1],
    ["c", 0],
  ]);
  t.same(Object.keys(defined({ absent: undefined, no: null, empty: "", off: false })), ["no", "empty", "off"]);
});
