// The command line of `npm test`.
import { test } from "tap";
import { selectTests } from "./selection.ts";

test("without a name every test file is chosen, with names those files and the files below those folders", (t) => {
  const all = selectTests([]).paths;
  t.ok(all.includes("test/tidy.test.ts") && all.includes("test/ota/trust/rollback.test.ts"));
  t.notOk(all.some((path) => path.endsWith(".gateway.ts")));
  t.same(selectTests(["test/tidy.test.ts"]).paths, ["test/tidy.test.ts"]);
  const trust = selectTests(["test/ota/trust", "test/tidy.test.ts"]).paths;
  t.ok(trust.includes("test/ota/trust/rollback.test.ts") && trust.includes("test/tidy.test.ts"));
  t.notOk(trust.some((path) => path.startsWith("test/warden/")));
  t.same(selectTests(["test/none.test.ts"]).paths, ["test/none.test.ts"], "the runner reports that it does not exist");
  t.end();
});

test("--grep is text, not a pattern, and ignores case", (t) => {
  const { title, paths } = selectTests(["--grep", "[OTA-5] An older", "test/tidy.test.ts"]);
  t.same(paths, ["test/tidy.test.ts"]);
  t.match("[OTA-5] an older timestamp is refused", title ?? /$^/u);
  t.notMatch("A-5 an older timestamp is refused", title ?? /$^/u);
  t.equal(selectTests([]).title, undefined);
  t.end();
});

test("an option that does not exist is refused", (t) => {
  t.throws(() => selectTests(["--gerp", "x"]), { code: "usage.invalid" });
  t.ok(selectTests(["--help"]).help);
  t.end();
});
