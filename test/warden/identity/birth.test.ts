// The birth record, which is written once.
import { test } from "tap";
import type { Fingerprint } from "../../../hal/format/identity.ts";
import { createBirthBook, chooseIdentity, recordBirth } from "../../../warden/identity/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const IDENTITY = chooseIdentity({ commissionedId: undefined, serials: ["GW-4711"], interfaces: [], model: undefined });
const key = (hex: string): { readonly protection: "tpm"; readonly keyFingerprint: Fingerprint } => ({
  protection: "tpm",
  keyFingerprint: `sha256:${hex.repeat(32)}`,
});

test("[ID-6] the first record is written, the same one is found when it is recorded again, another is refused and changes nothing", async (t) => {
  const files = fakeFiles();
  const births = createBirthBook(files);
  t.equal(await births.read(), undefined);
  const born = { id: "GW-4711", source: "serial", protection: "tpm" };
  t.match(await births.record(IDENTITY, key("aa")), born);
  t.match(await births.record(IDENTITY, key("aa")), born);
  const before = files.contents.get("birth.json");
  t.equal((await faultOf(() => births.record(IDENTITY, key("bb")))).code, "birth.conflict");
  t.equal((await faultOf(() => births.record(IDENTITY, { ...key("aa"), protection: "file" }))).code, "birth.conflict");
  t.equal(files.contents.get("birth.json"), before);
  t.equal(files.faults.changes, 1, "one write in all");
});

test("[ID-47] the record keeps the TPM that the key was born in, and no later answer changes it", async (t) => {
  const births = createBirthBook(fakeFiles());
  const chip = { storage: `000b${"ab".repeat(32)}`, endorsement: `000b${"cd".repeat(32)}` };
  t.match(await births.record(IDENTITY, { ...key("aa"), chip }), { v: 3, chip });
  t.match(await births.record(IDENTITY, { ...key("aa"), chip: { storage: `000b${"ef".repeat(32)}` } }), { chip });
  t.same((await births.read())?.chip, chip);
  t.equal((await createBirthBook(fakeFiles()).record(IDENTITY, key("aa"))).chip, undefined, "a key in a file has none");
});

test("[ID-6] of two different births requested at once, one is recorded and the other refused", async (t) => {
  const births = createBirthBook(fakeFiles());
  const outcomes = await Promise.allSettled([births.record(IDENTITY, key("aa")), births.record(IDENTITY, key("bb"))]);
  t.same(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  t.match(await births.read(), key("aa"));
});

test("[ID-6] an unreadable record neither counts as none nor is overwritten", async (t) => {
  for (const bytes of ["", "{}", '{"v":1,"id":"GW-4711"}', " ".repeat(2000), '{"v":1, "id":"GW-4711"}']) {
    const files = fakeFiles();
    const there = Buffer.from(bytes);
    files.contents.set("birth.json", there);
    const births = createBirthBook(files);
    t.equal((await faultOf(() => births.read())).code, "birth.unreadable");
    t.equal((await faultOf(() => births.record(IDENTITY, key("aa")))).code, "birth.unreadable");
    t.equal(files.contents.get("birth.json"), there, "kept as it is");
  }
});

test("[ID-6] a failed write leaves no birth, and the next one may be recorded", async (t) => {
  const files = fakeFiles();
  files.faults.failAt(1, "file.no-space");
  const births = createBirthBook(files);
  t.equal((await faultOf(() => births.record(IDENTITY, key("aa")))).code, "file.no-space");
  t.equal(await births.read(), undefined);
  t.match(await births.record(IDENTITY, key("bb")), key("bb"));
});

test("[ID-6] [AUD-10] the birth gets into the trail after a crash at any point, and only once without a crash", async (t) => {
  const born = await createBirthBook(fakeFiles()).record(IDENTITY, key("aa"));
  const trail: string[] = [];
  const append = async ({ event }: AuditEntry): Promise<void> => void trail.push(event);
  const state = fakeFiles();
  const refuse = (): Promise<never> => Promise.reject(new Fault("audit.write-failed", "the disk is full"));
  t.equal((await faultOf(() => recordBirth(state, born, refuse))).code, "audit.write-failed");
  t.equal(state.contents.size, 0, "it is still to be recorded");
  state.faults.failAt(1, "file.write-failed"); // like a kill between record and marker
  const told = new Set<string>();
  const once: unknown[] = [];
  for (let n = 0; n < 3; n++) {
    state.faults.failAt(1, "file.write-failed");
    const fault = await faultOf(() => recordBirth(state, born, async (entry) => once.push(entry), told));
    t.equal(fault.code, "file.write-failed");
  }
  t.equal(once.length, 1, "[AUD-12] without a marker one process records it once");
  state.faults.failAt(1, "file.write-failed");
  t.equal((await faultOf(() => recordBirth(state, born, append))).code, "file.write-failed");
  await recordBirth(state, born, append);
  await recordBirth(state, born, append);
  t.same(trail, ["birth.recorded", "birth.recorded"], "twice after the crash in between, and not once more");
});
