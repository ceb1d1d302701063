// Which test files make the runner build the bundles first.
import { test } from "tap";
import { needBundles } from "./bundles.ts";

test("a unit test needs no bundles, nor does a file that does not exist", (t) => {
  t.notOk(needBundles(["test/ota/trust/rollback.test.ts"]));
  t.notOk(needBundles(["test/agent/status/render.test.ts", "test/warden/update/whole.test.ts", "test/none.test.ts"]));
  t.end();
});

test("a test that starts a program of ours needs them, directly or through the lab", (t) => {
  t.ok(needBundles(["test/system/hub-process.test.ts"]), "it starts the hub");
  t.ok(needBundles(["test/system/first-boot-sigkill.test.ts"]), "the lab starts the board's programs");
  t.ok(needBundles(["test/build/image/settings.test.ts"]), "it reads dist/ itself");
  t.ok(needBundles(["./test/ota/trust/rollback.test.ts", "./test/system/update.test.ts"]), "one of them is enough");
  t.end();
});
