// The record that is written once.
import { test } from "tap";
import type { Fingerprint } from "../../../hal/identity/format.ts";
import { birthBook, chooseIdentity } from "../../../warden/identity/index.ts";
import { fakeFiles } from "../../lab/fake-files.ts";
import { faultOf } from "../../lab/faults.ts";

const IDENTITY = chooseIdentity({ commissionedId: undefined, serials: ["GW-4711"], interfaces: [], model: undefined });
const key = (hex: string): { readonly protection: "tpm"; readonly keyFingerprint: Fingerprint } => ({
  protection: "tpm",
  keyFingerprint: `sha256:${hex.repeat(32)}`,
});

test("[ID-6] the first record is written, the same one again is found, another is refused and changes nothing", async (t) => {
  const files = fakeFiles();
  const births = birthBook(files);
  t.equal(await births.read(), undefined);
  t.match(await births.record(IDENTITY, key("aa")), {
    written: true,
    record: { id: "GW-4711", source: "serial", protection: "tpm" },
  });
  t.match(await births.record(IDENTITY, key("aa")), { written: false });
  const before = files.contents.get("birth.json");
  t.equal((await faultOf(() => births.record(IDENTITY, key("bb")))).code, "birth.conflict");
  t.equal((await faultOf(() => births.record(IDENTITY, { ...key("aa"), protection: "file" }))).code, "birth.conflict");
  t.equal(files.contents.get("birth.json"), before);
  t.equal(files.faults.changes, 1, "one write in all");
});

test("[ID-6] two different births asked for at once: one is recorded, the other refused", async (t) => {
  const births = birthBook(fakeFiles());
  const outcomes = await Promise.allSettled([births.record(IDENTITY, key("aa")), births.record(IDENTITY, key("bb"))]);
  t.same(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  t.match(await births.read(), key("aa"));
});

test("[ID-6] a record that can't be read is neither taken for none nor written over", async (t) => {
  for (const bytes of ["", "{}", '{"v":1,"id":"GW-4711"}', " ".repeat(2000), '{"v":1, "id":"GW-4711"}']) {
    const files = fakeFiles();
    const there = Buffer.from(bytes);
    files.contents.set("birth.json", there);
    const births = birthBook(files);
    t.equal((await faultOf(() => births.read())).code, "birth.unreadable");
    t.equal((await faultOf(() => births.record(IDENTITY, key("aa")))).code, "birth.unreadable");
    t.equal(files.contents.get("birth.json"), there, "kept as it is");
  }
});

test("[ID-6] a write that failed leaves no birth, and the next may be recorded", async (t) => {
  const files = fakeFiles();
  files.faults.failAt(1, "file.no-space");
  const births = birthBook(files);
  t.equal((await faultOf(() => births.record(IDENTITY, key("aa")))).code, "file.no-space");
  t.equal(await births.read(), undefined);
  t.match(await births.record(IDENTITY, key("bb")), { written: true });
});
