// The faults that the fakes plan look like the real ones of test/hal/linux/files/full-disk.test.ts.
import { test } from "tap";
import { fakeAppendFiles, fakeFiles } from "../lab/fakes/files.ts";

test("the planned put fails once and keeps the old bytes, and reads still work", async (t) => {
  const files = fakeFiles();
  await files.put("record", Buffer.from("old"));
  files.faults.failAt(2, "file.no-space");
  await files.put("other", Buffer.from("fits"));
  await t.rejects(files.put("record", Buffer.from("new")), { code: "file.no-space" });
  t.same(await files.get("record", 10), Buffer.from("old"));
  await files.put("record", Buffer.from("new"));
  t.same(await files.get("record", 10), Buffer.from("new"));
  t.equal(files.faults.changes, 4);
});

test("a read-only disk refuses every change until it heals", async (t) => {
  const files = fakeAppendFiles();
  await files.append("log", Buffer.from("kept"));
  files.faults.failAlways("file.read-only");
  await t.rejects(files.append("log", Buffer.from("x")), { code: "file.read-only" });
  await t.rejects(files.truncate("log", 0), { code: "file.read-only" });
  await t.rejects(files.remove("log"), { code: "file.read-only" });
  files.faults.heal();
  await files.append("log", Buffer.from("!"));
  t.same(await files.read("log", 10), Buffer.from("kept!"));
});

test("an append that fails on the way leaves the prefix that was planned", async (t) => {
  const files = fakeAppendFiles();
  await files.append("log", Buffer.from("whole "));
  files.faults.failAt(1, "file.no-space", 3);
  await t.rejects(files.append("log", Buffer.from("torn")), { code: "file.no-space" });
  t.same(await files.read("log", 20), Buffer.from("whole tor"));
});
